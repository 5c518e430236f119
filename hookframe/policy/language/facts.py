"""Facts about requests, models and the environment, looked up when a condition asks for them."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, TypeAlias

from hookframe.admission.distributions import version_of
from hookframe.admission.family import ModelFamily
from hookframe.admission.point_names import layer_of, number_in
from hookframe.admission.request import CacheRequest, DeviceRequest, HookRequest, Request, ResetRequest, RunRequest
from hookframe.policy.language.vocabulary import FACTS, NAME_FACTS, Place, Scalar, Value

__all__ = ["ModelFacts", "RecordedFacts", "RequestFacts", "place_of"]

_SETTINGS = 64


def place_of(request: Request | type[Request]) -> Place:
    """Where rules about this kind of request are asked."""
    return "add" if request.kind == "hook" else request.kind


def _without_equals(path: str) -> Callable[[_Get], Value]:
    def get_names(get: _Get) -> Value:
        names, equal = get(path), get("request.equal")
        if not isinstance(names, tuple) or not isinstance(equal, tuple):
            return names
        return tuple([name for name in names if name not in equal])

    return get_names


def _told_by_place(get: _Get) -> Value:
    names = get("request.names_exactly")
    return layer_of(names) if isinstance(names, tuple) else None


def _told_by_route(get: _Get) -> Value:
    route = get("request.route")
    if get("request.point") is None or route is None:
        return None
    return get("request.permanent") is True or route in _LASTING


def _count(path: str) -> Callable[[_Get], Value]:
    def count(get: _Get) -> Value:
        things = get(path)
        return len(things) if isinstance(things, tuple) else None

    return count


def _told_by_function(get: _Get) -> Value:
    module, name = get("request.function.module"), get("request.function.qualname")
    return None if module is None or name is None else f"{module}.{name}"


_Get: TypeAlias = Callable[[str], Value]
_LASTING = ("add_hook", "add_caching_hooks", "hook_point", "torch", "copy")
_DERIVED: dict[str, Callable[[_Get], Value]] = {
    "request.names": lambda get: get("request.point"),
    "request.point_exactly": _without_equals("request.point"),
    "request.names_exactly": _without_equals("request.names"),
    "request.layer": _told_by_place,
    "request.lasting": _told_by_route,
    "request.function.name": _told_by_function,
    "request.points_count": _count("request.points"),
    "request.never_fired_count": _count("request.never_fired"),
    "request.unmanaged_count": _count("request.unmanaged"),
}
"""Facts that follow from others, of a live request and of one that was written down."""


class _Facts:
    """What follows from the facts that are said, and what cannot be told; the same wherever they are said."""

    __slots__ = ()

    def get(self, path: str) -> Value:
        """The fact called ``path``; None if it is absent."""
        raise NotImplementedError

    def is_unknown(self, path: str) -> bool:
        """True if it cannot be told: of a place without a certain name, or of a part of a model that is without its configuration."""
        if path.startswith("model."):
            return (
                self.get("model.configured") is False
                and self.get(path) is None
                and (bool(self.get("family")) or self.get("request.certain") is False)
            )
        if self.get("request.certain") is not False:
            return False
        return path in NAME_FACTS or self.get(path) in (None, ())


class RecordedFacts(_Facts):
    """Facts as they were written down: in a test case, in a journal; and what follows from them.

    :param values: path → value; a list becomes a tuple.
    """

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values: dict[str, Value] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    def get(self, path: str) -> Value:
        """The fact called ``path``; None if it was not written down, and does not follow from what was."""
        if path in self.values or path not in _DERIVED:
            return self.values.get(path)
        return _DERIVED[path](self.get)


class ModelFacts(_Facts):
    """What conditions can know of a model and the environment; each fact is looked up once.

    Of an instrumented model they are about the model that a family recognised, never about a wrapper around it.

    :param families: the families that plugins know.
    :param environment: names of environment variables that may be looked at.
    """

    __slots__ = ("_environment", "_families", "_families_around", "_known", "_model")

    def __init__(
        self, model: Any, families: Iterable[ModelFamily] = (), environment: Iterable[str] = frozenset()
    ) -> None:
        self._families_around: Callable[[], Iterable[str]] = getattr(model, "families_around", tuple)
        self._model = getattr(model, "recognised_model", model)
        self._families = families
        self._environment = environment
        self._known: dict[str, Value] = {}

    def get(self, path: str) -> Value:
        """The fact called ``path``; None if it is absent."""
        try:
            return self._known[path]
        except KeyError:
            value = self._known[path] = self._look_up(path)
            return value

    def recorded(self, paths: Iterable[str] = ()) -> dict[str, Value]:
        """What a journal needs in order to decide anew: every declared fact, ``paths``, and the first scalars of ``cfg`` and
        ``config``, as far as they are there.
        """
        declared = [path for path in FACTS if not path.startswith("request.") and not path.endswith(".*")]
        outside = [path for path in paths if not path.startswith("request.")]
        wanted = [*declared, *outside, *(f"env.{name}" for name in self._environment), *_settings(self._model)]
        found = {path: self.get(path) for path in wanted}
        return {path: value for path, value in found.items() if value is not None}

    def _look_up(self, path: str) -> Value:
        head, _, rest = path.partition(".")
        if path in _OF_PROCESS:
            return _OF_PROCESS[path]()
        if head == "env":
            return os.environ.get(rest) if rest in self._environment else None
        if self._model is None:
            return () if path == "family" else None
        if path == "family":
            matching = (family.name for family in self._families if family.matches(self._model))
            return tuple(sorted({*self._families_around(), *matching}))
        if head == "model":
            return self._of_model(rest)
        return self._of_device(rest) if head == "device" else None

    def _of_model(self, name: str) -> Value:
        kind = type(self._model)
        if name == "class":
            return str(kind.__name__)
        if name == "module":
            return str(kind.__module__)
        if name == "training":
            training = getattr(self._model, "training", None)
            return training if isinstance(training, bool) else None
        if name == "configured":
            return any(getattr(self._model, held, None) is not None for held in ("cfg", "config"))
        return _walked(self._model, name.split("."))

    def _of_device(self, name: str) -> Value:
        parameters: Callable[[], Iterable[Any]] | None = getattr(self._model, "parameters", None)
        first = next(iter(parameters()), None) if parameters is not None else None
        return None if first is None else device_facts(str(first.device)).get(f"device.{name}")


def _settings(model: Any) -> Iterator[str]:
    """Paths of the first scalars that a model's configurations hold themselves."""
    for name in ("cfg", "config"):
        held = getattr(getattr(model, name, None), "__dict__", {})
        plain = (key for key, value in held.items() if isinstance(value, Scalar) and not key.startswith("_"))
        yield from (f"model.{name}.{key}" for key in islice(plain, _SETTINGS))


def device_facts(device: str) -> dict[str, Value]:
    """Kind and number of a device, as torch prints it."""
    kind, _, index = device.partition(":")
    return {"device.type": kind, "device.index": number_in(index)}


def _walked(start: Any, names: Iterable[str]) -> Value:
    """The value at the end of these attributes and keys; None unless it is a scalar."""
    value = start
    for name in names:
        if name.startswith("_"):
            return None
        try:
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        except Exception:  # noqa: BLE001  # a property of the model's configuration failed: the fact is absent
            return None
    return value if isinstance(value, Scalar) else None


_version = cache(version_of)  # else it is read from disk for each model
_OF_PROCESS: dict[str, Callable[[], Value]] = {
    "torch.version": lambda: _version("torch"),
    "hookframe.version": lambda: _version("hookframe"),
    "python.version": lambda: ".".join(map(str, sys.version_info[:3])),
    "platform.system": platform.system,
}


class RequestFacts(_Facts):
    """What conditions can know of one request, in front of what they know of its model.

    :param about: of the model and the environment.
    """

    __slots__ = ("_about", "_getters", "_known", "_request")

    def __init__(self, request: Request, about: ModelFacts | RecordedFacts) -> None:
        self._known: dict[str, Value] = {}
        self._request: Any = request
        self._about = about
        self._getters = _OF_REQUEST[type(request)]

    def get(self, path: str) -> Value:
        """The fact called ``path``; None if it is absent."""
        try:
            return self._known[path]
        except KeyError:
            value = self._known[path] = self._look_up(path)
            return value

    def _look_up(self, path: str) -> Value:
        getter = self._getters.get(path)
        value = _NOT_SAID if getter is None else getter(self._request)
        if value is not _NOT_SAID:
            return value
        if path in _DERIVED:
            return _DERIVED[path](self.get)
        return self._family() if path == "family" else None if path.startswith("request.") else self._about.get(path)

    def _family(self) -> Value:
        """The families of the place, and those of the model that it belongs to."""
        of_model, of_place = self._about.get("family"), getattr(self._request, "families", ())
        return (
            tuple(sorted({*of_model, *of_place})) if isinstance(of_model, tuple) and of_place else of_place or of_model
        )

    def written(self) -> dict[str, Value]:
        """Every fact of the request itself, to be recorded or shown: those that are there, and those that would follow otherwise."""
        own = {path: self.get(path) for path in (*self._getters, *_DERIVED)}
        if getattr(self._request, "families", ()):
            own["family"] = self.get("family")
        known = {path for path, kind in FACTS.items() if place_of(self._request) in kind.places}
        return {p: value for p, value in own.items() if value is not None or (p in _DERIVED and p in known)}


_NOT_SAID: Any = object()
"""What a request does not say itself, so that it follows from other facts."""


def _device(name: str) -> Callable[[Any], Value]:
    return lambda request: None if request.device is None else device_facts(request.device)[name]


_ROUTE: dict[str, Callable[[Any], Value]] = {"request.route": lambda r: str(r.route)}
_DEVICE: dict[str, Callable[[Any], Value]] = {name: _device(name) for name in ("device.type", "device.index")}
_POINTS: dict[str, Callable[[Any], Value]] = {
    "request.points": lambda r: r.points,
}
# Flags become booleans: a caller may pass 1 for True, and a rule on permanent = true has to match that.
_OF_REQUEST: dict[type, dict[str, Callable[[Any], Value]]] = {
    HookRequest: _ROUTE
    | {
        "request.point": lambda r: r.all_names,
        "request.names": lambda r: r.allowing_names,
        "request.equal": lambda r: r.equal,
        "request.layer": lambda r: r.layer if r.names or r.layer is not None else _NOT_SAID,
        "request.certain": lambda r: bool(r.certain),
        "request.lasting": lambda r: bool(r.lasting),
        "request.direction": lambda r: r.direction,
        "request.effect": lambda r: r.effect,
        "request.permanent": lambda r: bool(r.permanent),
        "request.prepend": lambda r: bool(r.prepend),
        "request.exact": lambda r: bool(r.exact),
        "request.level": lambda r: r.level,
        "request.caches": lambda r: bool(r.caches),
        "request.function.module": lambda r: r.function.module,
        "request.function.qualname": lambda r: r.function.qualname,
        "request.function.distribution": lambda r: r.function.distribution,
        "request.function.digest": lambda r: r.function.digest,
    },
    CacheRequest: _ROUTE
    | _DEVICE
    | _POINTS
    | {
        "request.gradients": lambda r: bool(r.gradients),
        "request.estimated_bytes": lambda r: r.estimated_bytes,
    },
    DeviceRequest: _ROUTE | _DEVICE | {"request.purpose": lambda r: r.purpose},
    ResetRequest: _ROUTE
    | _POINTS
    | {
        "request.permanent_hooks": lambda r: r.permanent,
        "request.owned_hooks": lambda r: r.owned,
    },
    RunRequest: _ROUTE
    | {
        "request.bytes_cached": lambda r: r.bytes_cached,
        "request.never_fired": lambda r: r.never_fired,
        "request.unmanaged": lambda r: r.unmanaged,
    },
}
