"""A policy's own tests: facts in, expected decision and rules out, as TOML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from hookframe.extras import needing

with needing("policy", "reading a policy"):
    from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hookframe.errors import PolicyError
from hookframe.policy.files.lines import Lines
from hookframe.policy.files.mistakes import Mistake, Mistakes, near
from hookframe.policy.files.reading import schema_mistake
from hookframe.policy.files.toml import LARGEST, parse
from hookframe.policy.in_force.decide import Ruling, decide
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.language.facts import RecordedFacts
from hookframe.policy.language.vocabulary import FACTS, FactKind, Place, Value, fact

__all__ = ["Case", "CaseFile", "Outcome", "read_cases", "read_facts", "run_cases"]

ExpectedVerdict = Literal["allow", "deny", "skip", "warn", "audit"]


class _CaseTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=300)]
    place: Place = "add"
    facts: dict[str, Any] = {}
    today: date | None = None
    expect: ExpectedVerdict
    rules: list[str] | None = None


class _CasesTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal[1] = Field(alias="schema")
    policy: list[str] = []
    facts: dict[str, Any] = {}
    cases: Annotated[list[_CaseTable], Field(min_length=1, max_length=10_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test.

    :ivar facts: path → value.
    :ivar today: the day on which it is decided; that of the run if None.
    :ivar expect: the expected verdict.
    :ivar rules: the rules that are to match, all of them and no others; None if the case does not say.
    """

    name: str
    file: str
    line: int
    place: Place
    facts: Mapping[str, Value]
    today: date | None
    expect: str
    rules: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CaseFile:
    """The tests of one file.

    :ivar policies: the policy files that it names, beside it.
    """

    cases: tuple[Case, ...]
    policies: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one test.

    :ivar wrong: what was not as expected; empty if it passed.
    """

    case: Case
    ruling: Ruling
    wrong: tuple[str, ...] = ()


def run_cases(policy: Policy, cases: Sequence[Case], today: date) -> list[Outcome]:
    """Decide every case, and compare."""
    return [_run(policy, case, today) for case in cases]


def _run(policy: Policy, case: Case, today: date) -> Outcome:
    ruling = decide(policy, case.place, RecordedFacts(case.facts), case.today or today)
    wrong = []
    if ruling.verdict != case.expect:
        wrong.append(f"expected {case.expect}, and the policy says {ruling.verdict}")
    if case.rules is not None:
        matched = [match.rule for match in ruling.matches]
        missing = [name for name in case.rules if not any(rule.answers_to(name) for rule in matched)]
        extra = [rule.name for rule in matched if not any(map(rule.answers_to, case.rules))]
        wrong += [f"rule {name} does not match" for name in missing]
        wrong += [f"rule {name} matches as well" for name in extra]
    return Outcome(case, ruling, tuple(wrong))


def read_cases(path: Path) -> CaseFile:
    """Read a file of tests.

    :raises PolicyError: if it cannot be read, or has mistakes; all of them are in its text.
    """
    data, facts = _read(path)
    mistakes = Mistakes(str(path), Lines(data))
    try:
        table = _CasesTable.model_validate(facts)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            mistakes.add(*schema_mistake(found, (), _CasesTable))
        raise PolicyError(mistakes.found) from error
    shared = dict(flattened(table.facts, ("facts",), mistakes))
    cases = tuple(_case(case, index, shared, mistakes) for index, case in enumerate(table.cases))
    if mistakes.found:
        raise PolicyError(mistakes.found)
    return CaseFile(cases, tuple(path.parent / name for name in table.policy))


def _case(table: _CaseTable, index: int, shared: Mapping[str, Value], mistakes: Mistakes) -> Case:
    where = ("cases", index)
    return Case(
        name=table.name,
        file=mistakes.file,
        line=mistakes.lines.of(where),
        place=table.place,
        facts={**shared, **dict(flattened(table.facts, (*where, "facts"), mistakes))},
        today=table.today,
        expect=table.expect,
        rules=None if table.rules is None else tuple(table.rules),
    )


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
        return data, parse(data)
    except OSError as error:
        raise PolicyError([Mistake(str(path), 0, "", f"cannot be read: {error.strerror or error}")]) from error
    except ValueError as error:
        raise PolicyError([Mistake(str(path), 0, "", str(error))]) from error


def read_facts(path: Path) -> dict[str, Value]:
    """Read a file of facts: dotted paths, or tables, with their values.

    :raises PolicyError: if it cannot be read, or names a fact that there is not.
    """
    data, table = _read(path)
    mistakes = Mistakes(str(path), Lines(data))
    facts = dict(flattened(table, (), mistakes))
    if mistakes.found:
        raise PolicyError(mistakes.found)
    return facts


def flattened(
    table: Mapping[str, Any], where: tuple[str | int, ...], mistakes: Mistakes, prefix: str = ""
) -> Iterator[tuple[str, Value]]:
    """Facts by their paths, from tables that may be nested; a path that is no fact is noted as a mistake."""
    for key, value in table.items():
        path = f"{prefix}{key}"
        kind = fact(path)
        if isinstance(value, dict) and (kind is None or path not in FACTS):
            yield from flattened(value, (*where, key), mistakes, f"{path}.")
        elif kind is None:
            mistakes.add((*where, key), f"no fact is called {path!r}: {near(path, FACTS)}")
        elif not _fits(kind, value):
            mistakes.add((*where, key), f"is {value!r}: {path} is a {kind.type}")
        else:
            yield path, tuple(value) if isinstance(value, list) else (value,) if kind.type == "names" else value


def _fits(kind: FactKind, value: Any) -> bool:
    is_text = isinstance(value, str)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind.type == "names":
        return is_text or (isinstance(value, list) and all(isinstance(item, str) for item in value))
    kinds = {"text": is_text, "version": is_text, "flag": isinstance(value, bool), "number": is_number}
    return kinds.get(kind.type, is_text or is_number or isinstance(value, bool))
