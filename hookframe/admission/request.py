"""What is asked of an admission: plain, frozen data, one value for each planned effect.

Each class says its ``kind``, as records and policies name it, and the ``spec`` of the validators that are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal, TypeAlias, overload

from hookframe.admission.distributions import distribution_of
from hookframe.admission.functions import code_digest
from hookframe.admission.globs import matches_any

__all__ = [
    "CacheRequest",
    "DeviceRequest",
    "Direction",
    "Effect",
    "FunctionInfo",
    "HookRequest",
    "LazyRequests",
    "Request",
    "ResetRequest",
    "Route",
    "RunRequest",
]

Direction: TypeAlias = Literal["fwd", "bwd"]
Effect: TypeAlias = Literal["read", "edit"]
Route: TypeAlias = Literal[
    "add_hook",
    "hooks",
    "run_with_hooks",
    "run_with_cache",
    "add_caching_hooks",
    "hook_point",
    "torch",
    "copy",
    "handle",
    "remove_hooks",
    "remove_all_hook_fns",
    "reset_hooks",
    "to",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionInfo:
    """Where a hook function comes from.

    :ivar module: the module that defines it, ``"?"`` if it does not say.
    :ivar qualname: its qualified name; for an object with ``__call__``, that of its class.
    :ivar file: its source file, or None for built-in code.
    :ivar line: the first line of its source, or None.
    :ivar digest: a digest of its code, None for built-in code; see :func:`~hookframe.admission.functions.code_digest`.
    """

    module: str
    qualname: str
    file: str | None = None
    line: int | None = None
    digest: str | None = None

    @classmethod
    def of(cls, function: object) -> FunctionInfo:
        """Describe ``function``; partials and bound methods are described by the function inside."""
        inner = function
        while isinstance(inner, partial):
            inner = inner.func
        inner = getattr(inner, "__func__", inner)
        code = getattr(inner, "__code__", None)
        named = inner if hasattr(inner, "__qualname__") else type(inner)
        own = getattr(inner, "__globals__", {}).get("__name__")  # functools.wraps copies the other names, but not this
        return cls(
            module=str(own or getattr(named, "__module__", None) or "?"),
            qualname=str(getattr(named, "__qualname__", repr(named))),
            file=getattr(code, "co_filename", None),
            line=getattr(code, "co_firstlineno", None),
            digest=code_digest(inner),
        )

    @property
    def distribution(self) -> str | None:
        """The installed distribution that the function's module belongs to; None if there is none."""
        return distribution_of(self.module)

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.file else ""
        return f"{self.module}.{self.qualname}{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRequest:
    """One planned attachment of one function to one hook point.

    :ivar index: its place in the batch, from 0.
    :ivar point: the hook point's name in the model that asks; None for a point that belongs to no model.
    :ivar function: where the function comes from; the function itself never leaves the core.
    :ivar direction: ``"fwd"`` or ``"bwd"``.
    :ivar route: the public way by which the request came.
    :ivar effect: ``"read"`` for functions that hookframe keeps from editing, else ``"edit"``.
    :ivar exact: True if the point was asked for by its name, False if a filter swept it up.
    :ivar permanent: True if ordinary resets leave the hook alone.
    :ivar prepend: True if it goes before the hooks already there.
    :ivar level: the nesting level of the context it belongs to, None outside of contexts.
    :ivar aliases: names that a user gave at call time, and names of a part of what is seen here. They may refuse, and never
        satisfy an allow-list, a ``not`` or an exception.
    :ivar caches: True if the function stores what it sees in a cache.
    :ivar names: every name of the place: under each root that contains it, and the canonical names of every family that
        recognises a model around or inside it; ``point`` first, if that is one of them.
    :ivar equal: the names of other places that carry the same tensor, as families say it. Those that are among ``aliases`` as
        well pass on less of it.
    :ivar layer: the layer, as the family says it; else that of the one list of layers on the way; else None.
    :ivar families: the families that recognise a model around or inside the place.
    :ivar certain: False where the model contains parts that a family knows and the canonical name of this place cannot be told.
    :ivar lasting: True if the hook stays after the operation.
    """

    kind: ClassVar[Literal["hook"]] = "hook"
    spec: ClassVar[str] = "check_hooks_to_add"
    index: int
    point: str | None
    function: FunctionInfo
    direction: Direction = "fwd"
    route: Route
    effect: Effect = "edit"
    exact: bool = True
    permanent: bool = False
    prepend: bool = False
    level: int | None = None
    aliases: tuple[str, ...] = ()
    caches: bool = False
    names: tuple[str, ...] = ()
    equal: tuple[str, ...] = ()
    layer: int | None = None
    families: tuple[str, ...] = ()
    certain: bool = True
    lasting: bool = False

    @property
    def true_names(self) -> tuple[str, ...]:
        """The names that the place has, whatever a user calls it; in records from before there were such names, the point's."""
        return self.names or ((self.point,) if self.point and self.certain else ())

    @property
    def allowing_names(self) -> tuple[str, ...]:
        """The names that can satisfy an allow-list: the true ones, and those of places at which an edit is the same edit."""
        return (*self.true_names, *(name for name in self.equal if name not in self.aliases))

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every name that can lead to a refusal: those of the place and of its equals, and those that a user gave it."""
        given = (self.point,) if self.point else ()
        return tuple(dict.fromkeys((*given, *self.names, *self.aliases, *self.equal)))

    def matches(self, *patterns: str) -> bool:
        """True if a name of the place or of an equal one, or one that a user gave it, fits a glob: for whoever refuses."""
        return matches_any(patterns, self.all_names)

    def is_at(self, *patterns: str) -> bool:
        """True if a name that the place, or an equal one, has fits a glob: for lists of what is allowed, and for exceptions."""
        return matches_any(patterns, self.allowing_names)

    @property
    def subject(self) -> str:
        """The request in a few words, for messages."""
        where = repr(self.point) if self.point is not None else "a hook point without a name"
        return f"{self.direction} hook {self.function.qualname} at {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRequest:
    """What one operation is about to cache.

    :ivar points: names of the points, in the model's order.
    :ivar device: the device that the cached tensors will live on, as torch prints it; None if the model has no parameters.
    :ivar gradients: True if gradients are cached as well.
    :ivar estimated_bytes: how much the cache will hold; None if it was not estimated. A capture that estimates asks a
        second time, with the bytes.
    """

    kind: ClassVar[Literal["cache"]] = "cache"
    spec: ClassVar[str] = "check_cache"
    index: int = 0
    points: tuple[str, ...]
    device: str | None = None
    gradients: bool = False
    estimated_bytes: int | None = None
    route: Route

    @property
    def subject(self) -> str:
        """The request in a few words, for messages."""
        points = "1 point" if len(self.points) == 1 else f"{len(self.points)} points"
        return f"caching {points} on device {self.device!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """A device that was chosen, for the model or for a cache.

    :ivar device: as torch prints it: ``"cpu"``, ``"cuda:0"``, ``"mps"``.
    :ivar purpose: ``"model"`` if the model is about to be moved there, ``"cache"`` if activations are about to be cached
        there (because the caller said so, or because the model is there).
    """

    kind: ClassVar[Literal["device"]] = "device"
    spec: ClassVar[str] = "check_device"
    index: int = 0
    device: str
    purpose: Literal["model", "cache"]
    route: Route

    @property
    def subject(self) -> str:
        """The request in a few words, for messages."""
        return f"using device {self.device!r} for the {self.purpose}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetRequest:
    """A removal that touches permanent hooks, or hooks that an open context or another owner holds.

    :ivar points: names of the points that would lose such a hook (``"?"`` for one without a name).
    :ivar permanent: how many permanent hooks would go.
    :ivar owned: how many hooks of open contexts would go.
    """

    kind: ClassVar[Literal["reset"]] = "reset"
    spec: ClassVar[str] = "check_reset"
    index: int = 0
    points: tuple[str, ...]
    permanent: int = 0
    owned: int = 0
    route: Route

    @property
    def subject(self) -> str:
        """The request in a few words, for messages."""
        return f"removing {self.permanent} permanent and {self.owned} context hooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What an operation did to a model that has just run, before its result is handed on.

    :ivar never_fired: points that were asked for by name and whose hook never ran, each once.
    :ivar bytes_cached: bytes of what the operation cached.
    :ivar unmanaged: names of the modules that carry torch hooks which no admission has seen (``""`` for the model
        itself), sorted.
    """

    kind: ClassVar[Literal["run"]] = "run"
    spec: ClassVar[str] = "check_run"
    index: int = 0
    never_fired: tuple[str, ...] = ()
    bytes_cached: int = 0
    unmanaged: tuple[str, ...] = ()
    route: Route

    @property
    def subject(self) -> str:
        """The request in a few words, for messages."""
        return f"the result of {self.route}"


Request: TypeAlias = HookRequest | CacheRequest | DeviceRequest | ResetRequest | RunRequest


@dataclass(slots=True)
class LazyRequests(Sequence[HookRequest]):
    """The requests of one batch, made on first use.

    An operation on hundreds of points costs nothing here as long as no validator and no observer is installed. A
    repeated operation may ask with the very same batch again, so its requests never change.

    :ivar build: makes the requests; called at most once.
    :ivar memo: where a controller keeps what it derived from this batch, under a key of its own.
    """

    build: Callable[[], Sequence[HookRequest]]
    size: int
    memo: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _made: tuple[HookRequest, ...] | None = field(default=None, init=False)

    @property
    def made(self) -> tuple[HookRequest, ...]:
        """The requests themselves."""
        made = self._made
        if made is None:
            made = self._made = tuple(self.build())
        return made

    def settle(self) -> dict[object, Any]:
        """Make the requests now, since their sources may have changed when they are read; return the memo."""
        _ = self.made
        return self.memo

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> HookRequest: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[HookRequest]: ...
    def __getitem__(self, index: int | slice) -> HookRequest | Sequence[HookRequest]:
        return self.made[index]

    def __iter__(self) -> Iterator[HookRequest]:
        return iter(self.made)

    def __repr__(self) -> str:
        return f"LazyRequests({list(self.made)!r})"

    def __reduce__(self) -> tuple[type[tuple[HookRequest, ...]], tuple[tuple[HookRequest, ...]]]:
        return tuple, (self.made,)
