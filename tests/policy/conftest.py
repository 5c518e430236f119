"""Policies from TOML text, layers in directories of the test's own, and a small real model."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from hookframe.host.running.children import VARIABLE as PARENT
from hookframe.policy.files import layers
from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.governing import managed_layers
from hookframe.policy.in_force.merging import merge
from hookframe.policy.language.vocabulary import LayerKind
from hookframe.testing import RequestBuilder, TinyModel, fake_site

BARE = 'schema = 1\n[[rules]]\nid = "r"\nreason = "it is so"\nremedy = "do otherwise"\n'
"""A policy with one rule, to which selectors can be added."""


def layer_of(text, kind="project", file=None):
    kind = LayerKind[kind.upper()]
    return read_layer(textwrap.dedent(text).encode(), kind, file or f"{kind.label}.toml")


@pytest.fixture
def layer():
    """Reads one layer: ``layer(text, kind="project", file=None)``."""
    return layer_of


@pytest.fixture
def policy():
    """Reads and merges layers: ``policy(text)``, ``policy(machine=text, user=text)``."""

    def make(text=None, **by_kind):
        texts = {"project": text, **by_kind} if text is not None else by_kind
        return merge([layer_of(written, kind) for kind, written in texts.items()])

    return make


@pytest.fixture
def rule(policy):
    """The one rule of :data:`BARE` with these selectors."""
    return lambda selectors="": policy(BARE + selectors).rules[0]


@pytest.fixture
def requests():
    return RequestBuilder()


@pytest.fixture
def model():
    return TinyModel()


@dataclass
class Places:
    """Where the layers of the process lie, for one test."""

    root: Path

    def write(self, kind: str, text: str) -> Path:
        path = {
            "machine": self.root / "etc" / "policy.toml",
            "user": self.root / "config" / "hookframe" / "policy.toml",
            "project": self.root / "work" / "hookframe.toml",
            "session": self.root / "session.toml",
        }[kind]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        managed_layers.cache_clear()
        return path


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Layers in directories of the test's own; those of this machine are out of sight."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".git").mkdir()
    monkeypatch.setattr(layers, "machine_directory", lambda: tmp_path / "etc")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(layers.VARIABLE, raising=False)
    monkeypatch.delenv("HOOKFRAME_PLUGINS", raising=False)
    monkeypatch.setenv(PARENT, "none")  # restored, whatever a manager announces
    monkeypatch.chdir(tmp_path / "work")
    managed_layers.cache_clear()
    yield Places(tmp_path)
    managed_layers.cache_clear()


@pytest.fixture
def site(tmp_path):
    """A folder on the path, to install fake distributions into."""
    with fake_site(tmp_path / "site") as made:
        yield made


@pytest.fixture
def wheel(site):
    """Installs an organisation's policy: ``wheel(text, name="acme-policy")``."""

    def install(text, name="acme-policy", value=None):
        package = "fake_" + name.replace("-", "_")
        fake = site.normal(name, "raise RuntimeError('a policy is never imported')", files={"policy.toml": text})
        (fake.root / package / "__init__.py").write_text("raise RuntimeError('a policy is never imported')")
        entry = value or f"{package}:policy.toml"
        (fake.info / "entry_points.txt").write_text(f"[hookframe.policy]\n{name} = {entry}\n")
        managed_layers.cache_clear()
        return fake

    return install
