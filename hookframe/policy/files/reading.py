"""Reading a policy file: bounded, checked against the schema, with every mistake at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from hookframe.admission.objection import Action
from hookframe.errors import PolicyError
from hookframe.extras import need
from hookframe.policy.files.lines import KeyPath, Lines
from hookframe.policy.files.mistakes import Mistake, Mistakes, near, shortened
from hookframe.policy.files.rules import Exemption, PolicyOrigin, Rule
from hookframe.policy.files.selecting import condition_of
from hookframe.policy.files.toml import LARGEST, parse
from hookframe.policy.language.conditions import All
from hookframe.policy.language.vocabulary import PLACES, LayerKind, Mode, Place

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hookframe.policy.files.schema import DocumentTable, ModesTable, RuleTable, SelectorTable

__all__ = ["LARGEST", "Layer", "read_layer", "read_layer_file", "schema_mistake"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One policy file.

    :ivar file: as it is named in messages.
    :ivar digest: of its bytes.
    :ivar document: what it says, as it was read.
    :ivar prefix: the table that it stands in.
    """

    kind: LayerKind
    file: str
    digest: str
    document: DocumentTable
    rules: tuple[Rule, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    lines: Lines = field(compare=False, repr=False)
    prefix: KeyPath = ()

    @property
    def name(self) -> str:
        """How the layer is called in messages."""
        return self.document.name or self.file

    def origin(self, place: KeyPath) -> PolicyOrigin:
        """Where the value at ``place`` is written."""
        return PolicyOrigin(self.kind, self.file, self.line(place))

    def line(self, place: KeyPath) -> int:
        """The line of the value at ``place``, from 1."""
        return self.lines.of((*self.prefix, *place))


def read_layer_file(path: Path, kind: LayerKind, *, table: str | None = None) -> Layer:
    """Read the policy file at ``path``.

    :param table: the dotted table that holds the policy, in a file that holds other things as well.
    :raises PolicyError: if it cannot be read, is too large, or has mistakes; all of them are in its text.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise PolicyError([Mistake(file, 0, "", f"cannot be read: {error.strerror or error}")]) from error
    return read_layer(data, kind, file, table=table)


def read_layer(data: bytes, kind: LayerKind, file: str, *, table: str | None = None) -> Layer:
    """Read a policy from its bytes; see :func:`read_layer_file`.

    :raises MissingExtra: if the extra ``policy`` is not installed.
    """
    need("policy", "reading a policy")
    mistakes = Mistakes(file, Lines(data))
    facts, prefix = _facts(data, mistakes, table)
    layer = None if facts is None else _layer(facts, prefix, kind, mistakes, hashlib.sha256(data).hexdigest())
    if layer is None or mistakes.found:
        raise PolicyError(sorted(mistakes.found, key=lambda mistake: mistake.line))
    return layer


def _facts(data: bytes, mistakes: Mistakes, table: str | None) -> tuple[Mapping[str, Any] | None, KeyPath]:
    try:
        facts: Any = parse(data)
    except ValueError as error:
        mistakes.add((), str(error))
        return None, ()
    prefix = tuple(table.split(".")) if table else ()
    for depth, key in enumerate(prefix, 1):
        facts = facts.get(key, {})
        if not isinstance(facts, dict):
            mistakes.add(prefix[:depth], f"is {shortened(facts)}: write a table")
            return None, ()
    return facts, prefix


def _layer(facts: Mapping[str, Any], prefix: KeyPath, kind: LayerKind, mistakes: Mistakes, digest: str) -> Layer | None:
    from pydantic import ValidationError

    from hookframe.policy.files.schema import DocumentTable

    try:
        document = DocumentTable.model_validate(facts)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            mistakes.add(*schema_mistake(found, prefix, DocumentTable))
        return None
    reader = _LayerReader(document, prefix, kind, mistakes)
    reader.check_versions()
    return Layer(
        kind=kind,
        file=mistakes.file,
        digest=digest,
        document=document,
        rules=reader.rules(),
        exemptions=reader.exemptions(),
        lines=mistakes.lines,
        prefix=prefix,
    )


def schema_mistake(found: Any, prefix: KeyPath, document: type[BaseModel]) -> tuple[KeyPath, str]:
    """The place and the words for what the schema found."""
    keys: tuple[str | int, ...] = found["loc"]
    place, given, kind = (*prefix, *keys), found.get("input"), found["type"]
    if kind == "extra_forbidden":
        return place, f"there is no such key: {near(str(keys[-1]), _keys_of(document, keys[:-1]))}"
    if kind == "missing":
        return place[:-1] or place, f"has no {keys[-1]!r}: {_described(document, keys)}"
    if kind in ("literal_error", "enum"):
        expected = found["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return place, f"is {shortened(given)}: {near(str(given), expected)}"
    if kind in ("model_type", "dict_type"):
        return place, f"is {shortened(given)}: write a table"
    text = found["msg"].removeprefix("Value error, ")
    return place, f"is {shortened(given)}: {text[0].lower()}{text[1:]}"


def _model_at(document: type[BaseModel], keys: KeyPath) -> Any:
    from typing import get_args

    model: Any = document
    for key in keys:
        if isinstance(key, int) or not hasattr(model, "model_fields"):
            continue
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        annotation = fields[key].annotation if key in fields else None
        inner = [annotation, *get_args(annotation), *(deep for arg in get_args(annotation) for deep in get_args(arg))]
        model = next((candidate for candidate in inner if hasattr(candidate, "model_fields")), model)
    return model


def _keys_of(document: type[BaseModel], keys: KeyPath) -> list[str]:
    model = _model_at(document, keys)
    return [info.alias or name for name, info in model.model_fields.items()]


def _described(document: type[BaseModel], keys: KeyPath) -> str:
    fields = {info.alias or name: info for name, info in _model_at(document, keys[:-1]).model_fields.items()}
    info = fields.get(str(keys[-1]))
    return f"add it ({info.description})" if info is not None and info.description else "add it"


_UNKNOWN: dict[str, Action | None] = {"deny": Action.DENY, "warn": Action.WARN, "allow": None}


class _LayerReader:
    """Turns the tables of one file into rules and exceptions."""

    def __init__(self, document: DocumentTable, prefix: KeyPath, kind: LayerKind, mistakes: Mistakes) -> None:
        self.document = document
        self.prefix = prefix
        self.kind = kind
        self.mistakes = mistakes

    def check_versions(self) -> None:
        """Note ranges of versions that cannot be read."""
        pins = [(("plugins", name, "version"), table.version) for name, table in self.document.plugins.items()]
        for place, versions in [*pins, *((("require", name), text) for name, text in self.document.require.items())]:
            try:
                SpecifierSet(versions or "")
            except InvalidSpecifier:
                text = f"{versions!r} is no range of versions: write it as '>=1.0,<2'"
                self.mistakes.add((*self.prefix, *place), text)

    def rules(self) -> tuple[Rule, ...]:
        """The rules, in the order of the file."""
        seen: set[str] = set()
        found = []
        for index, table in enumerate(self.document.rules):
            where = (*self.prefix, "rules", index)
            self._check_unique(table.id, seen, where)
            found.append(self._rule(table, where))
        return tuple(found)

    def _check_unique(self, name: str, seen: set[str], where: KeyPath) -> None:
        if name in seen:
            self.mistakes.add((*where, "id"), f"{name!r} is the id of another one in this file: give it one of its own")
        seen.add(name)

    def _rule(self, table: RuleTable, where: KeyPath) -> Rule:
        places: tuple[Place, ...] = tuple(table.where)
        if not places:
            self.mistakes.add((*where, "where"), f"is empty: name some of {list(PLACES)}")
        delegates = tuple(LayerKind[name.upper()] for name in table.delegates)
        return Rule(
            id=table.id,
            origin=PolicyOrigin(self.kind, self.mistakes.file, self.mistakes.lines.of(where)),
            places=tuple(dict.fromkeys(places)),
            condition=self._condition(table, where, places),
            action=table.action,
            modes=tuple((place, table.mode or _mode(self.document.modes, place)) for place in dict.fromkeys(places)),
            reason=table.reason,
            remedy=table.remedy,
            delegates=delegates,
            max_days=table.max_days,
            removes=table.on_end == "remove",
            unknown=_UNKNOWN[self.document.settings.unknown or ("deny" if self.kind.managed else "allow")],
        )

    def _condition(self, table: SelectorTable, where: KeyPath, places: Sequence[Place] | None) -> All:
        """The condition; each file lists what it looks at in the environment, so that no other one changes what it sees."""
        condition = condition_of(table, where, places, self.mistakes)
        listed = self.document.facts.env
        for name in dict.fromkeys(path.removeprefix("env.") for path in condition.paths() if path.startswith("env.")):
            if name not in listed:
                self.mistakes.add((*where, "when"), f"looks at env.{name}: list {name!r} in facts.env of this file")
        return condition

    def exemptions(self) -> tuple[Exemption, ...]:
        """The exceptions, in the order of the file."""
        seen: set[str] = set()
        found = []
        for index, table in enumerate(self.document.exceptions):
            where = (*self.prefix, "exceptions", index)
            self._check_unique(table.id, seen, where)
            condition = self._condition(table, where, self._places_of(table.rule))
            if not condition.parts:
                self.mistakes.add(
                    where, "says not what it is about, and would lift the whole rule: give it points, or when"
                )
            found.append(
                Exemption(
                    id=table.id,
                    origin=PolicyOrigin(self.kind, self.mistakes.file, self.mistakes.lines.of(where)),
                    rule=table.rule,
                    condition=condition,
                    owner=table.owner,
                    reason=table.reason,
                    until=table.until,
                    ticket=table.ticket,
                    removes=table.on_end == "remove",
                )
            )
        return tuple(found)

    def _places_of(self, rule: str) -> tuple[Place, ...] | None:
        """Where the rule is asked, if it is one of this file; None if it is another layer's."""
        for table in self.document.rules:
            if rule in (table.id, f"{self.kind.label}:{table.id}"):
                return tuple(table.where)
        return None


def _mode(modes: ModesTable, place: Place) -> Mode:
    own: Mode | None = getattr(modes, place)
    return own or modes.default
