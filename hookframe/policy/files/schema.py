"""The shape of a policy file. ``hookframe policy schema`` prints it as a JSON Schema, for editors."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from hookframe.extras import needing

with needing("policy", "reading a policy"):
    from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from hookframe.admission.objection import Action
from hookframe.host.installed.origin import OriginKind
from hookframe.policy.language.vocabulary import FACTS, Mode, Place

__all__ = [
    "DocumentTable",
    "ExceptionTable",
    "JournalTable",
    "LoadingTable",
    "PluginTable",
    "RuleTable",
    "SettingsTable",
    "json_schema",
]

_LONGEST = 1000


def _one_or_more(kind: Any) -> BeforeValidator:
    """Lets a single word stand for a list of one."""
    return BeforeValidator(
        lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=kind | list[kind]
    )


Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Words = Annotated[list[Word], Field(min_length=1, max_length=_LONGEST)]
Unknown = Literal["deny", "warn", "allow"]
Delegate = Literal["organisation", "project", "user", "session"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)


class SelectorTable(_Table):
    """What a rule, or an exception, is about; everything that is given has to fit."""

    points: Words | None = Field(default=None, description="globs on point names: blocks.*.attn.hook_?, **.hook_result")
    exactly: bool = Field(
        default=False,
        description="true: only these points, and no others that carry the same tensor, as families say it",
    )
    families: Words | None = Field(default=None, description="names of model families")
    routes: Words | None = Field(default=None, description="public ways: add_hook, run_with_cache, ...")
    direction: Literal["fwd", "bwd"] | None = None
    effect: Literal["read", "edit"] | None = None
    permanent: bool | None = None
    functions: Words | None = Field(default=None, description="globs on module.qualname of the function")
    distributions: Words | None = Field(
        default=None, description="installed distributions that the function comes from"
    )
    devices: Words | None = Field(default=None, description="kinds of device: cpu, cuda, mps")
    when: dict[str, Any] | None = Field(
        default=None,
        description="conditions on facts: a path with a value, a list of values, or a table of operators "
        "(eq ne in not_in lt le gt ge glob exists); all and any take lists of such tables, not takes one",
    )


class RuleTable(SelectorTable):
    """One rule."""

    id: Identifier
    where: Annotated[list[Place], _one_or_more(Place)] = Field(default=["add"], description="where the rule is asked")
    action: Action = Field(default=Action.DENY, description="what the rule asks for")
    mode: Mode | None = Field(default=None, description="how seriously; that of the file if it is not given")
    reason: Text = Field(description="why, as a phrase")
    remedy: Text = Field(description="what a person can do about it")
    delegates: list[Delegate] = Field(default=[], description="weaker layers that may except from this rule")
    on_end: Literal["remove"] | None = Field(
        default=None, description="remove: hooks go when their exception ends, even if it does not ask for it"
    )
    max_days: int = Field(
        default=90, ge=1, le=3660, description="an exception of theirs may end so many days from today at most"
    )


class ExceptionTable(SelectorTable):
    """One exception from a rule."""

    id: Identifier
    rule: Word = Field(description="the rule's id, or layer:id")
    owner: Text = Field(description="who answers for it")
    reason: Text
    ticket: Text | None = None
    until: date = Field(description="the last day on which it holds")
    on_end: Literal["report", "remove"] = Field(default="report", description="what becomes of hooks admitted under it")


class ModesTable(_Table):
    """How seriously the rules of this file are taken, where they do not say it themselves."""

    default: Mode = Mode.ENFORCE
    add: Mode | None = None
    cache: Mode | None = None
    device: Mode | None = None
    reset: Mode | None = None
    run: Mode | None = None


class LoadingTable(_Table):
    """Which plugins may load."""

    allow: list[Word] | None = None
    deny: list[Word] = []
    require: list[Word] = []
    strict: bool = False


class PluginTable(_Table):
    """What one plugin has to be, and how it is treated."""

    version: Word | None = Field(default=None, description="a range of versions: >=1.0,<2")
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    origin: Annotated[list[OriginKind], _one_or_more(OriginKind)] | None = None
    failure: Literal["deny", "warn"] | None = Field(default=None, description="what a validator that fails does")
    isolation: Literal["none", "process"] | None = Field(default=None, description="process: in a process of its own")
    time_limit: float | None = Field(
        default=None, gt=0, le=600, description="seconds that an isolated one may take to answer"
    )
    options: dict[str, Any] = Field(default={}, description="what the plugin is configured with")


class SettingsTable(_Table):
    """Plain values."""

    scope: Literal["all", "context"] | None = Field(
        default=None, description="who sees hooks whose context does not say it itself"
    )
    unknown: Unknown | None = Field(
        default=None,
        description="what a rule comes to where it cannot be told whether it matches; deny in managed layers",
    )


class JournalTable(_Table):
    """Where what was decided is written down."""

    directory: Word | None = None
    required: bool | None = Field(default=None, description="refuse everything while the journal cannot be written")
    sealed_to: Word | None = Field(
        default=None, description="the operator's public key; each record then has a forward-secure MAC"
    )
    anchor: Word | None = Field(default=None, description="a file elsewhere for the head of the chain")
    facts: Words | None = Field(default=None, description="globs on the facts that may be written down")


class FactsTable(_Table):
    """What conditions may look at beyond the declared facts."""

    env: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]] = []


class FamiliesTable(_Table):
    """Which plugins provide the names that the rules of this file speak of."""

    require: list[Word] | None = Field(
        default=None,
        description="distributions that provide families and canonical names: they load whatever weaker layers and people say. "
        "Without it, hookframe-families in managed layers whose rules speak of families or canonical names",
    )


class DocumentTable(_Table):
    """A policy file."""

    schema_: Literal[1] = Field(alias="schema", description="the version of this format: 1")
    name: Text | None = Field(default=None, description="how the policy is called in messages")
    rules: Annotated[list[RuleTable], Field(max_length=_LONGEST)] = []
    exceptions: Annotated[list[ExceptionTable], Field(max_length=_LONGEST)] = []
    modes: ModesTable = ModesTable()
    tighten: dict[Word, Mode] = Field(default={}, description="rule of a stronger layer → a stricter mode for it")
    loading: LoadingTable = LoadingTable()
    plugins: dict[Word, PluginTable] = {}
    require: dict[Word, Word] = Field(
        default={}, description="distribution → range of versions that has to be installed"
    )
    settings: SettingsTable = SettingsTable()
    journal: JournalTable = JournalTable()
    facts: FactsTable = FactsTable()
    families: FamiliesTable = FamiliesTable()
    locked: list[Word] = Field(default=[], description="plain values that weaker layers cannot change: settings.scope")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file; the facts that conditions can name are among its descriptions."""
    schema = DocumentTable.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    facts = {
        path: {"description": f"{kind.about} ({kind.type}; known at {', '.join(kind.places)})"}
        for path, kind in FACTS.items()
        if not path.endswith(".*")
    }
    for table in ("RuleTable", "ExceptionTable"):
        when = next(
            option for option in schema["$defs"][table]["properties"]["when"]["anyOf"] if option["type"] == "object"
        )
        when["properties"] = facts
    return schema
