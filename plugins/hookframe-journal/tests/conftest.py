"""Journals to look at: small ones, written by the real writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hookframe_journal.installed import InstalledJournal
from hookframe_journal.plugin import JournalPlugin

from hookframe import Decision, Objection, PluginManager, use_plugins
from hookframe.admission.request import FunctionInfo, HookRequest, LazyRequests


def batch(*points: str, **fields: object) -> LazyRequests:
    """Requests at these points, as the core makes them."""
    function = FunctionInfo(
        module="acme.hooks", qualname="Probe.look", file="/home/me/hooks.py", line=7, digest="sha256:1"
    )
    made = [
        HookRequest(**{"index": index, "point": point, "function": function, "route": "hooks"} | fields)
        for index, point in enumerate(points)
    ]
    return LazyRequests(lambda: made, len(made))


def allowed(*points: str, facts: dict[str, object] | None = None) -> Decision:
    """A decision without an objection."""
    requests = batch(*points or ("blocks.0.hook_z",))
    if facts is not None:
        requests.memo["facts"] = facts
    return Decision(requests)


def denied(*points: str, message: str = "not here") -> Decision:
    """A decision with a refusal of each request."""
    requests = batch(*points or ("blocks.0.hook_z",))
    deny = [Objection.deny(r, rule="no-edits", message=message, remedy="read instead") for r in requests]
    return Decision(requests, tuple(deny))


@pytest.fixture(autouse=True)
def manager() -> Iterator[PluginManager]:
    """The journal as it is installed, alone and idle."""
    with use_plugins(InstalledJournal()) as made:
        yield made


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[..., JournalPlugin]]:
    """Makes a journal in ``tmp_path / "journal"``; closed at the end."""
    made: list[JournalPlugin] = []

    def make(**settings: object) -> JournalPlugin:
        plugin = JournalPlugin(settings.pop("directory", tmp_path / "journal"), **settings)
        made.append(plugin)
        return plugin

    yield make
    for plugin in made:
        plugin.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where ``keep`` writes."""
    return tmp_path / "journal"
