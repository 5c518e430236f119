"""One fake distribution on the disk, and the harm that can be done to it."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import py_compile
import textwrap
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ABSTAINS", "FakeDistribution", "record_of"]

ABSTAINS = """
from hookframe import hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    return None
"""
"""A validator that minds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeDistribution:
    """One distribution on the disk.

    :ivar package: the name of its import package; the plugin is ``package.plugin``.
    :ivar root: the directory that it is installed into.
    :ivar info: its metadata directory.
    """

    name: str
    version: str
    package: str
    root: Path
    info: Path

    @property
    def module(self) -> str:
        """The module that the entry point names."""
        return f"{self.package}.plugin"

    @property
    def source(self) -> Path:
        """The file of that module."""
        return self.root / self.package / "plugin.py"

    def tamper(self, text: str = ABSTAINS) -> None:
        """Change the plugin's source, and leave RECORD as it is."""
        self.source.write_text(textwrap.dedent(text), encoding="utf-8")

    def plant_file(self, name: str = "planted.py") -> Path:
        """Add a file to the package that RECORD does not know."""
        file = self.source.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("", encoding="utf-8")
        return file

    def plant_pyc(self, text: str) -> Path:
        """Compile ``text`` into the cache of the plugin's source, so that Python runs it; RECORD cannot tell."""
        other = self.source.with_name("other.py")
        other.write_text(textwrap.dedent(text), encoding="utf-8")
        target = Path(importlib.util.cache_from_source(str(self.source)))
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(
            str(other), cfile=str(target), dfile=str(self.source), invalidation_mode=unchecked, doraise=True
        )
        other.unlink()
        return target

    def remove_from_record(self, path: str) -> None:
        """Take one line out of RECORD."""
        record = self.info / "RECORD"
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(f"{path},")), encoding="utf-8")


def record_of(files: Mapping[str, str], info: str) -> str:
    """The text of RECORD for ``files``, path → text, and for itself in the metadata directory ``info``."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path, content in files.items():
        digest = urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).decode().rstrip("=")
        rows.writerow([path, f"sha256={digest}", len(content.encode())])
    rows.writerow([f"{info}/RECORD", "", ""])
    return text.getvalue()
