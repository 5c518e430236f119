"""Writes a plugin distribution from the templates that ship with hookframe.

The templates are rendered in Jinja's sandbox, and get nothing but the names below: what a person types cannot run code.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hookframe.extras import needing

with needing("testing", "writing a new plugin"):
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment
from packaging.utils import canonicalize_name

from hookframe.errors import PluginNameError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["NewPlugin", "write_plugin"]

_PREFIX = "hookframe-"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPlugin:
    """The names of a new plugin.

    :ivar short: as the entry point calls it: ``layer-guard``.
    :ivar author: for the licence and the metadata.
    """

    short: str
    author: str

    @classmethod
    def named(cls, name: str, author: str) -> NewPlugin:
        """From what a person typed: ``layer-guard``, ``hookframe-layer-guard`` or ``Layer_Guard``.

        :raises PluginNameError: if it does not make a name for a distribution and for a package.
        """
        short = canonicalize_name(name.strip()).removeprefix(_PREFIX)
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", short):
            raise PluginNameError(
                f"{name!r} makes no plugin name: begin with a letter, then letters, digits and single hyphens"
            )
        if re.search(r"[\"\\\x00-\x1f\x7f]", author):
            raise PluginNameError(
                f"the author {author!r} has quotes, backslashes or control characters: leave them out"
            )
        return cls(short=short, author=author.strip() or "the authors")

    @property
    def distribution(self) -> str:
        """The name of the distribution: ``hookframe-layer-guard``."""
        return _PREFIX + self.short

    @property
    def package(self) -> str:
        """The name of the package: ``hookframe_layer_guard``."""
        return self.distribution.replace("-", "_")


def write_plugin(plugin: NewPlugin, parent: Path) -> list[Path]:
    """Write the distribution into a new folder below ``parent``; all of it, or nothing.

    :returns: the files, the folder first.
    :raises FileExistsError: if there is something of that name already; nothing was written.
    """
    folder = parent / plugin.distribution
    if folder.exists():
        raise FileExistsError(f"{folder} is there already: choose another name, or another folder with --into")
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".hookframe-new-") as temporary:
        draft = Path(temporary) / plugin.distribution
        written = [_write(draft, target, text) for target, text in _rendered(plugin)]
        shutil.move(draft, folder)
    return [folder, *(folder / path.relative_to(draft) for path in written)]


def _write(draft: Path, target: PurePosixPath, text: str) -> Path:
    path = draft / target
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _rendered(plugin: NewPlugin) -> list[tuple[PurePosixPath, str]]:
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, trim_blocks=True
    )
    names = {
        "distribution": plugin.distribution,
        "package": plugin.package,
        "short": plugin.short,
        "author": plugin.author,
        "year": str(dt.datetime.now(tz=dt.UTC).year),
    }
    return [
        (_target(place, plugin), environment.from_string(template.read_text(encoding="utf-8")).render(names))
        for place, template in _templates(files("hookframe.scaffold") / "template", PurePosixPath())
    ]


def _target(place: PurePosixPath, plugin: NewPlugin) -> PurePosixPath:
    """Where a template goes: ``package`` and ``dot_`` stand for names that are not known, or not shipped well."""
    parts = [plugin.package if part == "package" else part.replace("dot_", ".", 1) for part in place.parts]
    return PurePosixPath(*parts).with_suffix("")


def _templates(folder: Traversable, place: PurePosixPath) -> list[tuple[PurePosixPath, Traversable]]:
    found: list[tuple[PurePosixPath, Traversable]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _templates(entry, place / entry.name)
        elif entry.name.endswith(".j2"):
            found.append((place / entry.name, entry))
    return found
