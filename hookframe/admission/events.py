"""What happened over a hook's life, as frozen values for observers. No event holds a tensor or a function.

The ``kind`` of each class is the name of the spec that is told of it, without the prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from hookframe.admission.request import Direction, FunctionInfo, HookRequest, Route

__all__ = [
    "CacheFinished",
    "CacheStarted",
    "ContextEntered",
    "ContextExited",
    "Event",
    "HookFailed",
    "HooksAdded",
    "HooksRemoved",
    "HooksReset",
    "RunFinished",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HooksAdded:
    """Hooks were attached.

    :ivar requests: what was attached; points that were left out are not among them. Made on first use.
    :ivar skipped: names of the points that a filter swept up and an objection left out.
    """

    kind: ClassVar[str] = "hooks_added"
    model: str
    operation: int
    route: Route
    requests: Sequence[HookRequest]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HooksRemoved:
    """Hooks were removed: by a handle, by ``remove_hooks``, or because their context ended.

    :ivar points: one name for each hook that was removed.
    """

    kind: ClassVar[str] = "hooks_removed"
    model: str
    route: Route
    points: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HooksReset:
    """``reset_hooks`` or ``remove_all_hook_fns`` ran on a model.

    :ivar removed: how many hooks were removed.
    """

    kind: ClassVar[str] = "hooks_reset"
    model: str
    route: Route
    removed: int
    including_permanent: bool
    direction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextEntered:
    """A context of temporary hooks was entered; its hooks are attached."""

    kind: ClassVar[str] = "context_entered"
    model: str
    operation: int
    route: Route
    level: int
    hooks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextExited:
    """A context of temporary hooks ended.

    :ivar removed: how many of its hooks were removed on the way out.
    :ivar error: the type of the exception that ended it, None if none did.
    """

    kind: ClassVar[str] = "context_exited"
    model: str
    operation: int
    route: Route
    level: int
    removed: int
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStarted:
    """Caching hooks were attached; what runs now fills the cache."""

    kind: ClassVar[str] = "cache_started"
    model: str
    operation: int
    route: Route
    points: tuple[str, ...]
    gradients: bool
    device: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFinished:
    """A caching operation ended.

    :ivar stored: keys that hold a value.
    :ivar skipped: points that were left out, and why.
    :ivar bytes_cached: bytes of all cached tensors.
    :ivar stale: keys whose tensor was changed in place after it was cached.
    """

    kind: ClassVar[str] = "cache_finished"
    model: str
    operation: int
    stored: tuple[str, ...]
    skipped: Mapping[str, str]
    bytes_cached: int
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """An operation that ran the model is over; or backward hooks of one that was over have fired in a backward pass.

    :ivar counts: for each hook of the operation, as ``(point, direction)``, how often it fired; a hook inside compiled
        code counts once however often it ran. If ``late``, only those that fired since the event before.
    :ivar bytes_cached: bytes cached by the operation.
    :ivar error: the type of the exception that ended it, None if none did.
    :ivar late: True for a backward pass after the end of the operation, through a graph that was made inside of it.
    """

    kind: ClassVar[str] = "run_finished"
    model: str
    operation: int
    route: Route
    counts: Mapping[tuple[str, Direction], int]
    bytes_cached: int = 0
    error: str | None = None
    late: bool = False

    @property
    def never_fired(self) -> tuple[str, ...]:
        """Points with a hook that never ran, exactly named or not, each once."""
        return tuple(dict.fromkeys(point for (point, _), count in self.counts.items() if not count))


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFailed:
    """A user's hook function raised; told once the model is no longer running.

    :ivar error: the type of the exception.
    :ivar message: its text.
    """

    kind: ClassVar[str] = "hook_failed"
    model: str
    point: str
    direction: Direction
    function: FunctionInfo
    error: str
    message: str


Event: TypeAlias = (
    HooksAdded
    | HooksRemoved
    | HooksReset
    | ContextEntered
    | ContextExited
    | CacheStarted
    | CacheFinished
    | RunFinished
    | HookFailed
)
