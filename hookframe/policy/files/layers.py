"""Finding the layers of the policy: which files there are, without importing any code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from importlib_metadata import Distribution, EntryPoint, EntryPoints, distributions

from hookframe.host.installed.metadata import directory_of, read_file
from hookframe.host.installed.modules import locate
from hookframe.policy.files.toml import parse
from hookframe.policy.language.vocabulary import LayerKind

__all__ = ["GROUP", "VARIABLE", "LayerFile", "LayerPlaces", "find_layers"]

GROUP = "hookframe.policy"
"""The entry-point group of policies in wheels: ``name = package:policy.toml`` names a file in the package."""
VARIABLE = "HOOKFRAME_POLICY"
"""Files of the session's layer, separated as in ``PATH``."""
_ENTRY_POINTS = "entry_points.txt"
_NAME = "policy.toml"
_MACHINE = {"darwin": "/Library/Application Support/hookframe", "win32": "C:/ProgramData/hookframe"}
_USER = {"darwin": ("XDG_CONFIG_HOME", "~/Library/Application Support"), "win32": ("LOCALAPPDATA", "~/AppData/Local")}
"""Platform → a variable that names where settings lie, and where they lie without it."""
_PROJECT = "hookframe.toml"
_TABLE = "tool.hookframe"
_LONGEST_SHARED = 64 << 20  # bytes of a pyproject.toml


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    """One file that is a layer.

    :ivar table: the table in it that holds the policy, None if the file is nothing else.
    :ivar problem: why there is no such file, although something says that there is; None if it can be opened.
    """

    kind: LayerKind
    path: Path
    table: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlaces:
    """Where layers are looked for.

    :ivar machine: the machine's file.
    :ivar user: the user's file.
    :ivar project: the directory from which the project's file is looked for upwards; None to look for none.
    :ivar session: the session's files; each has to be there.
    """

    machine: Path
    user: Path
    project: Path | None = None
    session: tuple[Path, ...] = ()

    @classmethod
    def standard(cls, environment: Mapping[str, str] | None = None) -> LayerPlaces:
        """The places in force: none but the session's depends on the environment of the process."""
        named = (os.environ if environment is None else environment).get(VARIABLE, "")
        return cls(
            machine=machine_directory() / _NAME,
            user=_user_directory() / _NAME,
            project=_here(),
            session=tuple(Path(part) for part in named.split(os.pathsep) if part),
        )


def _here() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was deleted
        return None


def machine_directory() -> Path:
    """The directory of the machine's policy. It is fixed for each platform, since any user can set variables."""
    return Path(_MACHINE.get(sys.platform, "/etc/hookframe"))


def _user_directory() -> Path:
    """The directory of the user's policy, where the platform keeps settings."""
    variable, usual = _USER.get(sys.platform, ("XDG_CONFIG_HOME", "~/.config"))
    named = os.environ.get(variable, "").strip()
    return Path(named if Path(named).is_absolute() else usual).expanduser() / "hookframe"


def find_layers(places: LayerPlaces) -> Iterator[LayerFile]:
    """Every layer that is there, strongest first."""
    if _exists(places.machine):
        yield LayerFile(kind=LayerKind.MACHINE, path=places.machine)
    yield from _organisation()
    if places.project is not None:
        yield from _project(places.project)
    if _exists(places.user):
        yield LayerFile(kind=LayerKind.USER, path=places.user)
    for path in places.session:
        yield LayerFile(kind=LayerKind.SESSION, path=path)


def _exists(path: Path) -> bool:
    """True unless there is no such file; what cannot be looked at exists, and will not be readable."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _organisation() -> Iterator[LayerFile]:
    found: dict[LayerFile, None] = {}
    for source in cast("Iterable[Distribution]", distributions()):  # the library's releases type it differently
        for file in _of_distribution(source):
            found.setdefault(file)  # once, also if several copies of a wheel lie on the path
    return iter(sorted(found, key=lambda file: str(file.path)))


def _of_distribution(source: Distribution) -> Iterator[LayerFile]:
    """The policies of one distribution. All are asked, since the library hides those after an empty left-over."""
    path = directory_of(source) or str(source)
    if Path(path).name.startswith("~"):
        return  # pip calls so what it is about to delete
    try:
        text = read_file(source, _ENTRY_POINTS)
        entries = EntryPoints(source.entry_points).select(group=GROUP) if text is not None and GROUP in text else ()
    except OSError:
        return  # somebody else's file: nothing says that a policy is in it
    except Exception as error:  # noqa: BLE001  # the library raises what its parsing happens to raise
        if GROUP.encode() in Path(path, _ENTRY_POINTS).read_bytes():
            problem = f"its {_ENTRY_POINTS} speaks of {GROUP} and cannot be read: {error}"
            yield LayerFile(kind=LayerKind.ORGANISATION, path=Path(path), problem=problem)
        return
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.value)):
        yield _named_by(entry, source)


def _named_by(entry: EntryPoint, source: Distribution) -> LayerFile:
    """The file that an entry point names: where its own distribution put it; an editable install says where it is."""
    module, _, name = entry.value.partition(":")
    installed = Path(str(source.locate_file(f"{module.replace('.', '/')}/{name}"))) if name else None
    if installed is not None and _exists(installed):  # and not what lies earlier on the path under the same name
        return LayerFile(kind=LayerKind.ORGANISATION, path=installed)
    try:
        spec = locate(module) if name else None
    except Exception as error:  # noqa: BLE001  # finders of others are asked
        spec, problem = None, f"looking for {module} raised {type(error).__name__}: {error}"
    else:
        problem = f"the entry point {entry.name!r} says {entry.value!r}, and there is no such package"
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    if not places:
        return LayerFile(kind=LayerKind.ORGANISATION, path=Path(entry.value), problem=problem)
    return LayerFile(kind=LayerKind.ORGANISATION, path=Path(places[0]) / name)


def _project(start: Path) -> Iterator[LayerFile]:
    """The nearest ``hookframe.toml``, or ``pyproject.toml`` with a table of ours, from ``start`` upwards."""
    for directory in (start, *start.parents):
        own, shared = directory / _PROJECT, directory / "pyproject.toml"
        if _exists(own):
            yield LayerFile(kind=LayerKind.PROJECT, path=own)
            return
        if _exists(shared) and _speaks_of_us(shared):
            yield LayerFile(kind=LayerKind.PROJECT, path=shared, table=_TABLE)
            return
        if _exists(directory / ".git"):
            return


def _speaks_of_us(path: Path) -> bool:
    """True if a shared file has a table of ours, or looks so and cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_SHARED)  # far more than is parsed: a table of ours has to be found wherever it is
    except OSError:
        return False  # somebody else's file: nothing says that a policy is in it
    if b"hookframe" not in data:
        return False
    try:
        tool = parse(data).get("tool")
    except ValueError:
        return f"[{_TABLE}".encode() in data
    return isinstance(tool, dict) and "hookframe" in tool
