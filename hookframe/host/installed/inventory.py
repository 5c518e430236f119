"""Which plugins are installed, read from the metadata of every distribution: nothing is imported.

It looks at all distributions, not at the library's list of entry points: that list has only the first distribution of
each name, even if it is an empty left-over, and no distribution whose metadata cannot be read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast
from zipfile import is_zipfile

from importlib_metadata import Distribution, EntryPoint, distributions
from packaging.utils import canonicalize_name

from hookframe.host.installed.compatibility import requirements_on_hookframe, stated_range
from hookframe.host.installed.distribution import GROUP, Candidate, Fault, Inventory, PluginDistribution
from hookframe.host.installed.integrity import check_files
from hookframe.host.installed.metadata import UNREADABLE, directory_of, headers_of, name_from_path, read_file
from hookframe.host.installed.origin import InstallOrigin, OriginKind

__all__ = ["installed_plugins", "take_inventory"]


def installed_plugins() -> tuple[Candidate, ...]:
    """Every installed plugin, sorted by distribution and entry point."""
    return take_inventory().candidates


def take_inventory() -> Inventory:
    """Look at every distribution on the path. Never raises for what it finds there."""
    found: dict[str, list[PluginDistribution]] = {}
    faults = list(_faults_of_the_path())
    seen: set[tuple[str, str]] = set()
    real: dict[str, str] = {}
    for source in cast("Iterable[Distribution]", distributions()):  # the library's releases type it differently
        path = directory_of(source) or str(source)
        directory, name = os.path.split(path)
        if directory not in real:  # lib64 is often a link to lib, and both are on the path
            real[directory] = os.path.realpath(directory)
        if (real[directory], name) in seen:
            continue
        seen.add((real[directory], name))
        described = _describe(source, path)
        if isinstance(described, Fault):
            faults.append(described)
        elif described is not None:
            found.setdefault(described.name, []).append(described)
    ordered = [plugin for name in sorted(found) for plugin in _told_apart(found[name])]
    return Inventory(tuple(ordered), tuple(faults))


def _faults_of_the_path() -> Iterator[Fault]:
    for entry in dict.fromkeys(sys.path):
        if os.path.isfile(entry) and not is_zipfile(entry):  # noqa: PTH113  # sys.path holds strings
            yield Fault(None, entry, "is on sys.path, and is a plain file where a directory is expected")


def _describe(source: Distribution, path: str) -> PluginDistribution | Fault | None:
    """A distribution with plugins, a fault, or None for all the others."""
    guess = canonicalize_name(name_from_path(path) or "") or None
    try:
        text = read_file(source, "entry_points.txt")
    except UnicodeDecodeError:
        return _damaged(source, path, guess, "its entry_points.txt is no text")
    except OSError as error:
        return Fault(guess, path, f"has entry points that cannot be read ({error.strerror}): it may be a plugin")
    if text is None:
        return _left_over(path, guess)
    if GROUP not in text:
        return None
    if os.path.basename(path).startswith("~"):  # noqa: PTH119  # as in metadata.py
        return Fault(guess, path, "is left over from an interrupted uninstall: delete it")
    return _plugin(source, path, guess)


def _left_over(path: str, guess: str | None) -> Fault | None:
    if os.path.isfile(path):  # noqa: PTH113  # as above, once for each distribution
        if path.endswith(".dist-info"):
            return Fault(guess, path, "is a plain file where a directory is expected: delete it")
        return None
    if not os.path.isdir(path) or any(os.path.exists(os.path.join(path, n)) for n in ("METADATA", "PKG-INFO")):  # noqa: PTH110, PTH112, PTH118
        return None
    return Fault(guess, path, "is left over, without metadata: delete it")


def _plugin(source: Distribution, path: str, guess: str | None) -> PluginDistribution | Fault | None:
    try:
        entry_points = tuple(sorted(source.entry_points.select(group=GROUP), key=lambda e: (e.name, e.value)))
    except Exception as error:  # noqa: BLE001  # the library raises what its parsing happens to raise
        return _damaged(source, path, guess, f"its entry_points.txt cannot be parsed ({type(error).__name__})")
    if not entry_points:
        return None
    try:
        headers = headers_of(source)
        installer, direct_url = read_file(source, "INSTALLER"), read_file(source, "direct_url.json")
    except UNREADABLE as error:
        return _damaged(source, path, guess, f"its metadata cannot be read ({type(error).__name__})", entry_points)
    name = headers.get("Name")
    if not name:
        return _damaged(source, path, guess, "its metadata has no name", entry_points)
    egg = direct_url is None and not path.endswith(".dist-info")
    return PluginDistribution(
        name=canonicalize_name(name),
        version=headers.get("Version"),
        entry_points=entry_points,
        path=path,
        origin=InstallOrigin(OriginKind.UNKNOWN) if egg else InstallOrigin.of(direct_url),
        installer=(installer or "").strip() or None,
        api=stated_range(headers.get("Keywords")),
        requires_hookframe=requirements_on_hookframe(headers.get_all("Requires-Dist") or ()),
        source=source,
    )


def _damaged(
    source: Distribution, path: str, guess: str | None, problem: str, entry_points: tuple[EntryPoint, ...] = ()
) -> PluginDistribution | Fault:
    name = guess or next((canonicalize_name(entry_point.name) for entry_point in entry_points), None)
    if name is None:
        return Fault(None, path, f"is a damaged distribution: {problem}")
    return PluginDistribution(name=name, entry_points=entry_points, path=path, problem=problem, source=source)


def _told_apart(copies: list[PluginDistribution]) -> Iterable[PluginDistribution]:
    """Distributions of one name, the one that is imported first: the path decides, and in one directory the files do."""
    if len(copies) == 1:
        return copies
    ranked = sorted(copies, key=_rank_within_its_directory, reverse=True)
    directories = list(dict.fromkeys(os.path.dirname(copy.path) for copy in copies))  # noqa: PTH120  # in path order
    ranked.sort(key=lambda copy: directories.index(os.path.dirname(copy.path)))  # noqa: PTH120
    first = ranked[0]
    return [first, *(replace(copy, copy_of=first.path) for copy in ranked[1:])]


def _rank_within_its_directory(copy: PluginDistribution) -> tuple[bool, bool, str]:
    return copy.problem is None, check_files(copy).intact, copy.path
