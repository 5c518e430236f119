"""Fake installations: distributions with plugins, written to a directory as an installer would leave them.

A :class:`FakeSite` is one directory of the path. Its methods write one distribution each and return a
:class:`FakeDistribution`; nothing is imported, and nothing outside the directory is touched. :func:`fake_site` puts it on
``sys.path`` for a while.
"""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hookframe.testing.fake_distribution import ABSTAINS, FakeDistribution, record_of

__all__ = ["ABSTAINS", "DENIES", "FakeDistribution", "FakeSite", "fake_site"]

DENIES = """
from hookframe import Objection, hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    return [Objection.deny(r, rule="no", message="refused by an installed plugin", remedy="none") for r in requests]
"""
"""A validator that refuses everything."""


@dataclass(frozen=True, slots=True)
class FakeSite:
    """A directory that distributions are installed into."""

    root: Path

    @property
    def later(self) -> FakeSite:
        """The directory that :func:`fake_site` puts at the end of the path."""
        return FakeSite(self.root.with_name(f"later-{self.root.name}"))

    def normal(
        self,
        name: str,
        source: str = DENIES,
        *,
        version: str = "1.0",
        entry_points: Mapping[str, str] | None = None,
        keywords: str | None = "hookframe-plugin-api ~=1.0",
        requires: Sequence[str] = ("hookframe",),
        licence: str | None = "MIT",
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
        info = f"{stem}-{version}.dist-info"
        fields = [f"Name: {name}", f"Version: {version}"]
        fields += [f"Keywords: {keywords}"] if keywords else []
        fields += [f"License-Expression: {licence}"] if licence else []
        fields += [f"Requires-Dist: {line}" for line in requires]
        points = entry_points if entry_points is not None else {name: f"{package}.plugin"}
        written = {
            f"{package}/__init__.py": "",
            f"{package}/plugin.py": textwrap.dedent(source),
            **{f"{package}/{file}": textwrap.dedent(text) for file, text in (files or {}).items()},
            f"{info}/METADATA": "\n".join(["Metadata-Version: 2.4", *fields, "", "About it.", ""]),
            f"{info}/INSTALLER": "pip\n",
            f"{info}/entry_points.txt": "[hookframe.plugins]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()),
            **({} if direct_url is None else {f"{info}/direct_url.json": json.dumps(direct_url)}),
        }
        self._write({**written, f"{info}/RECORD": record_of(written, info)})
        return FakeDistribution(name=name, version=version, package=package, root=self.root, info=self.root / info)

    def editable(self, name: str, source: str = DENIES) -> FakeDistribution:
        """An editable install: RECORD does not know the package, which lies where it is developed."""
        url = {"url": self.root.as_uri(), "dir_info": {"editable": True}}
        fake = self.normal(name, source, direct_url=url)
        for file in ("__init__.py", "plugin.py"):
            fake.remove_from_record(f"{fake.package}/{file}")
        return fake

    def from_vcs(self, name: str, source: str = DENIES, commit: str = "0" * 40) -> FakeDistribution:
        """A distribution that was installed from a repository."""
        vcs = {"vcs": "git", "commit_id": commit}
        return self.normal(name, source, direct_url={"url": f"https://example.org/{name}.git", "vcs_info": vcs})

    def duplicate(self, name: str, source: str = DENIES, version: str = "2.0") -> FakeDistribution:
        """Another copy of a distribution, later on the path; the one that counts is the first."""
        return self.later.normal(name, source, version=version)

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
        (fake.info / "METADATA").write_text("Metadata-Version: 2.1\nVersion: 1.0\n", encoding="utf-8")
        return fake

    def without_metadata(self, name: str, source: str = DENIES) -> FakeDistribution:
        """A distribution with entry points, and no METADATA at all."""
        fake = self.normal(name, source)
        (fake.info / "METADATA").unlink()
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
        file.write_text("", encoding="utf-8")
        return file

    def _write(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        importlib.invalidate_caches()


@contextmanager
def fake_site(root: Path) -> Iterator[FakeSite]:
    """A :class:`FakeSite` at the front of ``sys.path``, and its ``later`` at the end.

    At the end the path is as it was, and what was imported from there is forgotten.
    """
    site = FakeSite(root)
    places = [site.root, site.later.root]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    before = list(sys.path)
    sys.path[:] = [str(site.root), *before, str(site.later.root)]
    importlib.invalidate_caches()
    try:
        yield site
    finally:
        sys.path[:] = before
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file is not None and any(Path(file).is_relative_to(place) for place in places):
                del sys.modules[name]
        importlib.invalidate_caches()
