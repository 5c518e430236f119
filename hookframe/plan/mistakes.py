"""What is wrong with a plan, in the words of plans: every mistake at once, with its key and, in a file, its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from hookframe.extras import needing

with needing("policy", "a plan of hooks"):
    from pydantic import BaseModel, ValidationError

from hookframe.admission.listing import listed
from hookframe.plan.operations import Operation
from hookframe.policy.files.lines import KeyPath, Lines
from hookframe.policy.files.mistakes import dotted, near, shortened

__all__ = ["mistakes_in_file", "mistakes_in_hooks"]

_MOST = 5
_OPERATIONS: dict[str, type[BaseModel]] = {
    kind.model_fields["operation"].default: kind for kind in get_args(get_args(Operation)[0])
}
_INDICES = "write a list of indices, or a range such as { start = 1, stop = 4 }, with a step of at least 1"
_FIELDS = {
    "points": "write a name, a glob such as 'blocks.*.hook_resid_post', or a list of these",
    "rows": _INDICES,
    "positions": _INDICES,
    "features": _INDICES,
    "over": "write a list of 'batch' and 'pos'",
    "value": "write the name of a tensor, of letters, digits, '_', '.' and '-'",
    "vector": "write the name of a tensor, of letters, digits, '_', '.' and '-'",
    "parameters": "write the name of a .safetensors file in the plan's own directory, of letters, digits, '_' and '-'",
    "digest": "write 'sha256:' and 64 hexadecimal digits, or leave it out",
    "format": "write 'hookframe-plan'",
    "version": "write 1",
    "hooks": "write [[hooks]] tables",
}
_KINDS = {
    "float_type": "write a number",
    "finite_number": "write a finite number",
    "greater_than_equal": "write a number of at least {ge}",
    "bool_type": "write true or false",
    "string_type": "write text",
    "string_too_long": "write at most {max_length:,} characters",
}


def mistakes_in_file(error: ValidationError, document: type[BaseModel], facts: Any, lines: Lines | None) -> str:
    """What is wrong with the tables of a file, except its hooks."""
    found = [_mistake(each, tuple(each["loc"]), facts, document) for each in error.errors(include_url=False)]
    return _joined(found, lines)


def mistakes_in_hooks(error: ValidationError, hooks: Sequence[Any], lines: Lines | None = None) -> str:
    """What is wrong with hooks."""
    found = []
    for each in error.errors(include_url=False):
        index, *rest = each["loc"]
        tag, keys = (rest[0], rest[1:]) if rest else (None, [])  # the operation stands between a hook and its fields
        place = ("hooks", index, *keys)
        found.append(_mistake(each, place, {"hooks": hooks}, _OPERATIONS.get(str(tag))))
    return _joined(found, lines)


def _joined(found: Sequence[tuple[KeyPath, str]], lines: Lines | None) -> str:
    told: dict[str, None] = {}
    for place, text in found:
        line = "" if lines is None or not place else f"line {lines.of(place)}: "
        told[f"{line}{f'{dotted(place)}: ' if place else ''}{text}"] = None
    return listed(told, _MOST, "; ")


def _mistake(found: Any, place: KeyPath, facts: Any, document: type[BaseModel] | None) -> tuple[KeyPath, str]:
    """The place of a mistake, and its text; one inside a field that has its own text is reported at that field."""
    kind, key = found["type"], str(place[-1]) if place else ""
    if kind == "missing":
        return place[:-1], f"has no {key!r}: {_FIELDS.get(key, 'add it')}"
    field = next((depth for depth, part in enumerate(place) if part in _FIELDS and (depth or len(place) == 1)), None)
    unknown = kind == "extra_forbidden"
    if field is not None and not (unknown and field == len(place) - 1):
        place = place[: field + 1]
        return place, f"is {shortened(_at(facts, place))}: {_FIELDS[str(place[-1])]}"
    if unknown:
        return place, f"there is no such key: {near(key, document.model_fields if document is not None else ())}"
    if kind == "value_error":
        return place, str(found["ctx"]["error"])
    if kind.startswith(("union_tag", "model_")):
        return _operation(place, facts)
    text = _KINDS[kind].format(**found.get("ctx", {})) if kind in _KINDS else found["msg"].lower()
    return place, f"is {shortened(found['input'])}: {text}"


def _operation(place: KeyPath, facts: Any) -> tuple[KeyPath, str]:
    hook = _at(facts, place)
    if not isinstance(hook, Mapping):
        return place, f"is {shortened(hook)}: write a table with 'points' and 'operation'"
    if "operation" not in hook:
        return place, f"has no 'operation': use one of {sorted(_OPERATIONS)}"
    given = hook["operation"]
    return (*place, "operation"), f"is {shortened(given)}: {near(str(given), _OPERATIONS)}"


def _at(facts: Any, place: KeyPath) -> Any:
    for key in place:
        facts = facts[key]
    return facts
