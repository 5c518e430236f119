"""Facts about requests, models and the environment, looked up when a condition asks for them."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

from hookframe.admission.distributions import version_of
from hookframe.admission.family import ModelFamily
from hookframe.admission.point_names import layer_in, number_in
from hookframe.admission.request import CacheRequest, DeviceRequest, HookRequest, Request, ResetRequest, RunRequest
from hookframe.policy.language.vocabulary import FACTS, Place, Scalar, Value

__all__ = ["ModelFacts", "RecordedFacts", "RequestFacts", "place_of"]

_SETTINGS = 64


def place_of(request: Request | type[Request]) -> Place:
    """Where rules about this kind of request are asked."""
    return "add" if request.kind == "hook" else request.kind


class RecordedFacts:
    """Facts as they were written down: in a test case, in a journal.

    :param values: path → value; a list becomes a tuple.
    """

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values: dict[str, Value] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    def get(self, path: str) -> Value:
        """The fact called ``path``; None if it was not written down."""
        return self.values.get(path)


class ModelFacts:
    """What conditions can know of a model and the environment; each fact is looked up once.

    :param families: the families that plugins know.
    :param environment: names of environment variables that may be looked at.
    """

    __slots__ = ("_environment", "_families", "_known", "_model")

    def __init__(
        self, model: Any, families: Iterable[ModelFamily] = (), environment: Iterable[str] = frozenset()
    ) -> None:
        self._model = model
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
            return tuple(sorted(family.name for family in self._families if family.matches(self._model)))
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


class RequestFacts:
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
        if getter is not None:
            return getter(self._request)
        return None if path.startswith("request.") else self._about.get(path)

    def written(self) -> dict[str, Value]:
        """Every fact of the request itself that is there, to be recorded or shown."""
        found = {path: getter(self._request) for path, getter in self._getters.items()}
        return {path: value for path, value in found.items() if value is not None}


def _names(request: HookRequest) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (request.point, *request.names, *request.aliases))))


def _device(name: str) -> Callable[[Any], Value]:
    return lambda request: None if request.device is None else device_facts(request.device)[name]


_ROUTE: dict[str, Callable[[Any], Value]] = {"request.route": lambda r: str(r.route)}
_DEVICE: dict[str, Callable[[Any], Value]] = {name: _device(name) for name in ("device.type", "device.index")}
_POINTS: dict[str, Callable[[Any], Value]] = {
    "request.points": lambda r: r.points,
    "request.points_count": lambda r: len(r.points),
}
# Flags become booleans: a caller may pass 1 for True, and a rule on permanent = true has to match that.
_OF_REQUEST: dict[type, dict[str, Callable[[Any], Value]]] = {
    HookRequest: _ROUTE
    | {
        "request.point": _names,
        "request.layer": lambda r: layer_in(r.point or ""),
        "request.direction": lambda r: r.direction,
        "request.effect": lambda r: r.effect,
        "request.permanent": lambda r: bool(r.permanent),
        "request.prepend": lambda r: bool(r.prepend),
        "request.exact": lambda r: bool(r.exact),
        "request.level": lambda r: r.level,
        "request.caches": lambda r: bool(r.caches),
        "request.function.name": lambda r: f"{r.function.module}.{r.function.qualname}",
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
        "request.never_fired_count": lambda r: len(r.never_fired),
        "request.unmanaged": lambda r: r.unmanaged,
        "request.unmanaged_count": lambda r: len(r.unmanaged),
    },
}
