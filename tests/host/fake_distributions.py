"""Fake installations: distributions with plugins, written to a directory as an installer would leave them.

A :class:`FakeSite` is one directory of the path. Its methods write one distribution each and return a
:class:`FakeDistribution`; nothing is imported, and nothing outside the directory is touched. Put ``str(site.root)`` on
``sys.path`` to install all of them.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import json
import py_compile
import sys
import textwrap
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["ABSTAINS", "DENIES", "FakeDistribution", "FakeSite", "site"]

DENIES = """
from hookframe import Objection, hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    return [Objection.deny(r, rule="no", message="refused by an installed plugin", remedy="none") for r in requests]
"""
"""A validator that refuses everything."""

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
        self.source.write_text(textwrap.dedent(text))

    def plant_file(self, name: str = "planted.py") -> Path:
        """Add a file to the package that RECORD does not know."""
        file = self.source.parent / name
        file.write_text("")
        return file

    def plant_pyc(self, text: str) -> Path:
        """Compile ``text`` into the cache of the plugin's source, so that Python runs it; RECORD cannot tell."""
        planted = Path(importlib.util.cache_from_source(str(self.source)))
        other = self.root.parent / f"planted_in_{self.package}.py"
        other.write_text(textwrap.dedent(text))
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(other), str(planted), dfile=str(self.source), doraise=True, invalidation_mode=unchecked)
        return planted

    def remove_from_record(self, path: str) -> None:
        """Take one line out of RECORD."""
        record = self.info / "RECORD"
        record.write_text("".join(li for li in record.read_text().splitlines(True) if not li.startswith(f"{path},")))


@dataclass(frozen=True, slots=True)
class FakeSite:
    """A directory that distributions are installed into."""

    root: Path

    def normal(
        self,
        name: str,
        source: str = DENIES,
        *,
        version: str = "1.0",
        entry_points: Mapping[str, str] | None = None,
        keywords: str | None = "hookframe-plugin-api ~=1.0",
        requires: tuple[str, ...] = (),
        files: Mapping[str, str] | None = None,
        package: str | None = None,
        direct_url: Mapping[str, object] | None = None,
    ) -> FakeDistribution:
        """A distribution as pip leaves it: package, metadata, entry point, RECORD with digests.

        :param source: the code of ``package.plugin``, which is the plugin.
        :param entry_points: name → value; one by the distribution's name if None.
        :param files: further files of the package, name → text.
        """
        stem = name.replace("-", "_").replace(".", "_")
        package = package or f"fake_{stem}"
        written = {
            f"{package}/__init__.py": "",
            f"{package}/plugin.py": textwrap.dedent(source),
            **{f"{package}/{file}": textwrap.dedent(text) for file, text in (files or {}).items()},
        }
        info = f"{stem}-{version}.dist-info"
        fields = [f"Name: {name}", f"Version: {version}", *([f"Keywords: {keywords}"] if keywords else [])]
        fields += [f"Requires-Dist: {line}" for line in requires]
        points = entry_points if entry_points is not None else {name: f"{package}.plugin"}
        written[f"{info}/METADATA"] = "\n".join(["Metadata-Version: 2.1", *fields, "", "About it.", ""])
        written[f"{info}/INSTALLER"] = "pip\n"
        written[f"{info}/entry_points.txt"] = "[hookframe.plugins]\n" + "".join(
            f"{k} = {v}\n" for k, v in points.items()
        )
        if direct_url is not None:
            written[f"{info}/direct_url.json"] = json.dumps(direct_url)
        self._write(written, info)
        return FakeDistribution(name=name, version=version, package=package, root=self.root, info=self.root / info)

    def editable(self, name: str, source: str = DENIES) -> FakeDistribution:
        """An editable install: the package lies elsewhere, and RECORD knows a ``.pth`` file only."""
        url = {"url": self.root.as_uri(), "dir_info": {"editable": True}}
        fake = self.normal(name, source, direct_url=url)
        for file in ("__init__.py", "plugin.py"):
            fake.remove_from_record(f"{fake.package}/{file}")
        return fake

    def wrong_api(self, name: str, api_range: str = ">=2,<3", source: str = DENIES) -> FakeDistribution:
        """A distribution for another plugin API."""
        return self.normal(name, source, keywords=f"hooks,hookframe-plugin-api {api_range},torch")

    def tampered(self, name: str, source: str = DENIES) -> FakeDistribution:
        """A distribution whose source was changed after it was installed."""
        fake = self.normal(name, source)
        fake.tamper(source + "\n# changed\n")
        return fake

    def planted_pyc(self, name: str, source: str, planted: str) -> FakeDistribution:
        """A distribution that matches RECORD, whose ``__pycache__`` runs ``planted``."""
        fake = self.normal(name, source)
        fake.plant_pyc(planted)
        return fake

    def without_name(self, name: str, source: str = DENIES) -> FakeDistribution:
        """A distribution whose metadata has lost its name."""
        fake = self.normal(name, source)
        (fake.info / "METADATA").write_text("Metadata-Version: 2.1\nVersion: 1.0\n")
        return fake

    def unreadable(self, name: str, source: str = DENIES, file: str = "METADATA") -> FakeDistribution:
        """A distribution with a metadata file that is no text."""
        fake = self.normal(name, source)
        (fake.info / file).write_bytes(b"\xff\xfe" + (fake.info / file).read_bytes())
        return fake

    def without_record(self, name: str, source: str = DENIES) -> FakeDistribution:
        """A distribution without RECORD, as a package manager of another kind may leave it."""
        fake = self.normal(name, source)
        (fake.info / "RECORD").unlink()
        return fake

    def claiming(self, entry_point: str, *names: str, source: str = DENIES) -> list[FakeDistribution]:
        """Several distributions that claim one entry-point name."""
        return [
            self.normal(name, source, entry_points={entry_point: f"fake_{name.replace('-', '_')}.plugin"})
            for name in names
        ]

    def empty_dist_info(self, name: str, version: str = "0.9") -> Path:
        """An empty metadata directory, as an interrupted uninstall leaves it."""
        info = self.root / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        return info

    def plain_file(self, name: str, version: str = "1.0") -> Path:
        """A plain file where a metadata directory is expected."""
        self.root.mkdir(parents=True, exist_ok=True)
        file = self.root / f"{name.replace('-', '_')}-{version}.dist-info"
        file.write_text("")
        return file

    def _write(self, files: Mapping[str, str], info: str) -> None:
        rows = io.StringIO()
        lines = csv.writer(rows, lineterminator="\n")
        for path, text in files.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            lines.writerow([path, f"sha256={digest}", len(text.encode())])
        lines.writerow([f"{info}/RECORD", "", ""])
        (self.root / info / "RECORD").write_text(rows.getvalue())


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A directory in front of the path; what is imported from it is forgotten after the test."""
    root = tmp_path / "site"
    root.mkdir()
    monkeypatch.syspath_prepend(root)
    before = set(sys.modules)
    yield FakeSite(root)
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]
