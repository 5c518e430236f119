"""The outcome of a conformance run: a result for each check, and the card that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Card", "CheckResult", "Verdict", "merged"]


class Verdict(StrEnum):
    """How a check came out."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How one check came out.

    :ivar name: the check's name.
    :ivar reason: why, as a phrase.
    :ivar warnings: what the author should look at although it is no failure.
    """

    name: str
    verdict: Verdict
    reason: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """How every check of one plugin came out.

    :ivar plugin: the distribution's name, or that of the object.
    :ivar version: the distribution's version, None for an object.
    :ivar hookframe: the version of hookframe that checked.
    :ivar api: its plugin API.
    :ivar python: the version of Python.
    :ivar microseconds: ``spec`` → the median time of one call with one request.
    """

    plugin: str
    version: str | None
    hookframe: str
    api: str
    python: str
    results: tuple[CheckResult, ...]
    microseconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True if no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if result.verdict is Verdict.FAIL)

    def result(self, name: str) -> CheckResult:
        """The result of one check.

        :raises KeyError: if there is no check of that name.
        """
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(f"there is no check {name!r}: the names are {[result.name for result in self.results]}")

    def to_json(self) -> dict[str, Any]:
        """The card as plain data for :func:`json.dumps`."""
        return {**asdict(self), "microseconds": dict(self.microseconds), "passed": self.passed}

    @property
    def summary(self) -> str:
        """The outcome in one line."""
        passes, not_applicable = (
            sum(1 for result in self.results if result.verdict is verdict)
            for verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE)
        )
        outcome = "conforms" if self.passed else "does not conform"
        name = f"{self.plugin} {self.version or ''}".strip()
        failed = f"{len(self.failures)} failed" if self.failures else "none failed"
        return (
            f"{name} {outcome} to plugin API {self.api} (hookframe {self.hookframe}): "
            f"{passes} passed, {failed}, {not_applicable} not applicable"
        )

    def table(self) -> Table:
        """The card for a terminal; each verdict is a word, whatever its colour."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        table.add_column("verdict", no_wrap=True)
        table.add_column("check", no_wrap=True)
        table.add_column("why", overflow="fold")
        for result in self.results:
            why = "; ".join([result.reason, *(f"WARNING: {warning}" for warning in result.warnings)])
            table.add_row(Text(_WORDS[result.verdict], _STYLES[result.verdict]), result.name, Text(why))
        return table


_WORDS = {Verdict.PASS: "pass", Verdict.FAIL: "FAIL", Verdict.NOT_APPLICABLE: "n/a"}
_STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.NOT_APPLICABLE: "dim"}
_WORST = (Verdict.FAIL, Verdict.PASS, Verdict.NOT_APPLICABLE)


def merged(results: Mapping[str, CheckResult]) -> CheckResult:
    """One check's results for several plugins of a distribution, by entry point, as one: the worst counts."""
    verdict = next(v for v in _WORST if any(result.verdict is v for result in results.values()))
    told: Sequence[tuple[str, CheckResult]] = [(n, r) for n, r in results.items() if r.verdict is verdict]
    several = len(results) > 1
    return CheckResult(
        name=told[0][1].name,
        verdict=verdict,
        reason="; ".join(dict.fromkeys(f"{name}: {r.reason}" if several else r.reason for name, r in told)),
        warnings=tuple(f"{n}: {w}" if several else w for n, r in results.items() for w in r.warnings),
    )
