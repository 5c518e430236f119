"""Requests and objections as JSON: what crosses to another process, or to a file, and comes back equal.

Reading runs no code and checks every field: it refuses whatever is not exactly one of these values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, get_args

from hookframe.admission.objection import Objection
from hookframe.admission.request import (
    DeviceRequest,
    Direction,
    Effect,
    FunctionInfo,
    Request,
    ResetRequest,
    Route,
)
from hookframe.errors import InvalidWireData

__all__ = ["KINDS", "objection_from_json", "objection_to_json", "request_from_json", "request_to_json"]

KINDS: dict[str, type[Request]] = {kind.kind: kind for kind in get_args(Request)}
"""Kind of request → its class."""
_CHOICES: dict[str, tuple[str, ...]] = {
    "direction": get_args(Direction),
    "route": get_args(Route),
    "effect": get_args(Effect),
    "purpose": ("model", "cache"),
}
_TYPES: dict[str, tuple[type, ...]] = {
    "index": (int,),
    "point": (str, type(None)),
    "exact": (bool,),
    "permanent": (bool,),
    "prepend": (bool,),
    "level": (int, type(None)),
    "caches": (bool,),
    "layer": (int, type(None)),
    "certain": (bool,),
    "lasting": (bool,),
    "gradients": (bool,),
    "owned": (int,),
    "device": (str, type(None)),
    "module": (str,),
    "qualname": (str,),
    "file": (str, type(None)),
    "line": (int, type(None)),
    "digest": (str, type(None)),
    "estimated_bytes": (int, type(None)),
    "bytes_cached": (int,),
}
_OWN_TYPES: dict[tuple[type, str], tuple[type, ...]] = {
    (ResetRequest, "permanent"): (int,),
    (DeviceRequest, "device"): (str,),
}
_LATER = frozenset({"names", "equal", "layer", "families", "certain", "lasting"})
"""Fields that older records do not have."""
_OPTIONAL = ("device", "origin", "exception")
_LISTS = ("aliases", "equal", "families", "names", "never_fired", "points", "unmanaged")


def request_to_json(request: Request) -> dict[str, Any]:
    """``request`` as plain data for :func:`json.dumps`."""
    return {"kind": request.kind, **asdict(request)}


def request_from_json(data: object) -> Request:
    """The request that :func:`request_to_json` described.

    :raises InvalidWireData: if a field is missing, unknown, or of another type.
    """
    name = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(name, str) or name not in KINDS:
        raise InvalidWireData(f"no request: its kind is none of {sorted(KINDS)}")
    kind = KINDS[name]
    known = {field.name for field in fields(kind)}
    given = {key: value for key, value in data.items() if key != "kind"}
    odd = sorted(map(str, (given.keys() ^ known) - (_LATER & known)))
    if odd:
        raise InvalidWireData(f"no {name} request: fields {odd} are missing, or too many")
    return kind(**{key: _field(kind, key, value) for key, value in given.items()})


def _field(kind: type, key: str, value: Any) -> Any:
    if key == "function":
        return _function(value)
    if key in _LISTS:
        if (
            not isinstance(value, Sequence)
            or not all(isinstance(item, str) for item in value)
            or isinstance(value, str)
        ):
            raise InvalidWireData(f"{key} is no list of names")
        return tuple(value)
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise InvalidWireData(f"{key} is none of {_CHOICES[key]}")
        return value
    allowed = _OWN_TYPES.get((kind, key), _TYPES[key])
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise InvalidWireData(f"{key} is a {type(value).__name__}")
    return value


def _function(value: object) -> FunctionInfo:
    names = [field.name for field in fields(FunctionInfo)]
    if not isinstance(value, Mapping) or set(value) != set(names):
        raise InvalidWireData("the function is not described by module, qualname, file, line and digest")
    return FunctionInfo(**{name: _field(FunctionInfo, name, value[name]) for name in names})


def objection_to_json(objection: Objection) -> dict[str, Any]:
    """``objection`` as plain data; its request is named by its index."""
    return {
        "index": objection.request.index,
        "rule": objection.rule,
        "message": objection.message,
        "remedy": objection.remedy,
        "action": str(objection.action),
        "device": objection.device,
        "origin": objection.origin,
        "exception": objection.exception,
    }


def objection_from_json(data: object, requests: Sequence[Request]) -> Objection:
    """The objection that :func:`objection_to_json` described, about one of ``requests``.

    :raises InvalidWireData: if ``data`` is no objection, or is about none of ``requests``.
    """
    keys = {"index", "rule", "message", "remedy", "action", *_OPTIONAL}
    if not isinstance(data, Mapping) or set(data) != keys:
        raise InvalidWireData(f"no objection: an objection has {sorted(keys)}")
    index = data["index"]
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(requests):
        raise InvalidWireData(f"the objection is about request {index!r}, and there are {len(requests)}")
    for key in _OPTIONAL:
        if data[key] is not None and not isinstance(data[key], str):
            raise InvalidWireData(f"the objection's {key} is no string")
    return Objection(
        request=requests[index],
        rule=data["rule"],
        message=data["message"],
        remedy=data["remedy"],
        action=data["action"],
        **{key: data[key] for key in _OPTIONAL},
    )
