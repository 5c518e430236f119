"""A conformance run as pytest items: one for each check of each distribution."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hookframe.errors import PluginError
from hookframe.testing.conformance.card import Card, Verdict
from hookframe.testing.conformance.catalogue import CHECKS
from hookframe.testing.conformance.checking import check_plugin, installed

__all__ = ["ConformanceItem", "items_for", "report"]

_CARDS = pytest.StashKey[dict[str, Card]]()


class _FailedCheckError(Exception):
    """A check failed; the message says why."""


class ConformanceCollector(pytest.Collector):
    """The checks of one distribution."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each check."""
        for check in CHECKS:
            yield ConformanceItem.from_parent(self, name=check.name)


class ConformanceItem(pytest.Item):
    """One check of one distribution; the first that runs checks everything."""

    def runtest(self) -> None:
        """Fail, pass, or be skipped where the check is not applicable."""
        result = card_of(self.config, str(getattr(self.parent, "name", ""))).result(self.name)
        for warning in result.warnings:
            self.add_report_section("call", "conformance", warning)
        if result.verdict is Verdict.FAIL:
            raise _FailedCheckError(result.reason)
        if result.verdict is Verdict.NOT_APPLICABLE:
            pytest.skip(result.reason)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The reason, without a traceback."""
        if isinstance(excinfo.value, _FailedCheckError):
            asks = next(check.asks for check in CHECKS if check.name == self.name)
            return f"{getattr(self.parent, 'name', '')}: {self.name}\n  asked: {asks}\n  found: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where pytest says that the item is."""
        return self.path, None, self.nodeid


def items_for(session: pytest.Session, names: Sequence[str]) -> list[pytest.Item]:
    """The items of every distribution named.

    :raises pytest.UsageError: if one is not installed, or has no plugins.
    """
    items: list[pytest.Item] = []
    for name in dict.fromkeys(names):
        try:
            installed(name)
        except PluginError as error:
            raise pytest.UsageError(f"--hookframe-conformance: {error}") from error
        collector = ConformanceCollector.from_parent(session, name=name, nodeid=f"conformance::{name}")
        items += [item for item in collector.collect() if isinstance(item, pytest.Item)]
    return items


def card_of(config: pytest.Config, name: str) -> Card:
    """The card of one distribution, made when it is first asked for."""
    cards = config.stash.setdefault(_CARDS, {})
    if name not in cards:
        cards[name] = check_plugin(name)
    return cards[name]


def report(terminal: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the cards, and write them as JSON if that was asked for."""
    from rich.console import Console

    try:
        cards = [card_of(config, name) for name in dict.fromkeys(config.option.hookframe_conformance)]
    except PluginError:  # it was reported as an error of usage
        return
    console = Console(
        no_color=not terminal.hasmarkup, force_terminal=terminal.hasmarkup, width=None if terminal.isatty() else 120
    )
    for card in cards:
        terminal.section(f"conformance of {card.plugin}")
        terminal.write_line(card.summary)
        with console.capture() as captured:
            console.print(card.table())
        terminal.write(captured.get())
    if config.option.hookframe_card:
        text = json.dumps({"cards": [card.to_json() for card in cards]}, indent=2)
        Path(config.option.hookframe_card).write_text(text + "\n", encoding="utf-8")
