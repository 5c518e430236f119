"""From a function and points to attachments that are ready for admission."""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hookframe.admission.request import Direction, FunctionInfo
from hookframe.core.hooks.aliases import PointView
from hookframe.core.hooks.attachment import Attachment, Options
from hookframe.core.hooks.caching import RESTING, CachingAttachment, CachingFunction, GradientCachingAttachment
from hookframe.core.hooks.gradient import GradientAttachment
from hookframe.core.hooks.guards import is_read_only, rules_of
from hookframe.core.values.text import describe
from hookframe.errors import InvalidDirection, InvalidHookFunction

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Chosen, Point
    from hookframe.core.values.types import HookFunction

__all__ = ["Asked", "FunctionKind", "kind_of_function", "plan_attachment", "plan_attachments"]


class Asked(NamedTuple):
    """One function for the points of one selection."""

    direction: Direction
    selection: Chosen
    function: HookFunction


T = TypeVar("T")
_KINDS = {
    ("fwd", False): Attachment,
    ("bwd", False): GradientAttachment,
    ("fwd", True): CachingAttachment,
    ("bwd", True): GradientCachingAttachment,
}


def plan_attachment(
    point: Point,
    hook: HookFunction,
    *,
    direction: Direction,
    name: str | None = None,
    exact: bool = True,
    **options: Any,
) -> Attachment:
    """Plan one attachment; nothing is attached.

    :param options: those of :class:`~hookframe.core.hooks.attachment.Options`.
    :raises InvalidDirection: if ``direction`` is neither ``"fwd"`` nor ``"bwd"``.
    :raises InvalidHookFunction: if ``hook`` cannot be called.
    """
    return plan_attachments(((name, point, exact),), hook, direction=direction, **options)[0]


def plan_attachments(
    selection: Iterable[tuple[str | None, Point, bool]], hook: HookFunction, *, direction: Direction, **options: Any
) -> list[Attachment]:
    """Plan the attachments of one function; as :func:`plan_attachment`."""
    if direction not in ("fwd", "bwd"):
        raise InvalidDirection(f"Invalid direction {direction!r}: a hook is attached to 'fwd' or to 'bwd'")
    if not callable(hook):
        raise InvalidHookFunction(
            f"{describe(hook)} cannot be called: a hook is a function, called as hook(tensor, hook=point)"
        )
    caches = isinstance(hook, CachingFunction)
    kind: Any = _KINDS[direction, caches]
    read_only = caches or is_read_only(hook)
    rules = rules_of(hook) if direction == "fwd" and not read_only else None
    shared = Options(hook, direction, read_only=read_only, rules=rules, **options)
    costly = rules is not None and rules.costly
    shared.wrapped_by_options = not caches and (read_only or costly or shared.aliases is not None)
    suffix = hook.suffix if isinstance(hook, CachingFunction) else ""
    planned: list[Attachment] = []
    for name, point, exact in selection:
        shown = name if point.name == point.given_name else point.name_in(name)
        key = shown if shown is not None and not suffix else f"{shown}{suffix}"
        attachment: Attachment = kind(point, shared, name, exact, key)
        if not caches and shown is not None and shown != point.name:
            attachment.view = PointView(point, shown)
            attachment.direct = False
        planned.append(attachment)
    return planned


class FunctionKind:
    """Functions of one kind are planned alike. Compared by identity: :func:`kind_of_function` returns the same object again.

    :ivar info: where the function comes from.
    """

    __slots__ = ("info",)

    def __init__(self, info: FunctionInfo) -> None:
        self.info = info


_MANY = 1024  # this many are remembered; batches for a forgotten one are planned again
_kinds: dict[Any, FunctionKind] = {}
_of_code: dict[int, tuple[CodeType, str, object, FunctionKind]] = {}


def kind_of_function(function: HookFunction) -> FunctionKind:
    """The kind of ``function``: its place and code, its marks, and for a caching hook the suffix it adds to names."""
    if type(function) is not FunctionType or function.__dict__:
        return _kind_of(function)
    code, module = function.__code__, function.__globals__.get("__name__")
    known = _of_code.get(id(code))
    if known is not None and known[0] is code and known[1] == function.__qualname__ and known[2] == module:
        return known[3]
    found = _kind_of(function)
    if module is not None:
        _remember(_of_code, id(code), (code, function.__qualname__, module, found))
    return found


def _kind_of(function: HookFunction) -> FunctionKind:
    facts: tuple[Any, ...]
    if isinstance(function, CachingFunction):
        info, facts = _CACHING, (function.suffix, function.private)
    else:
        info = FunctionInfo.of(function)
        facts = (is_read_only(function), rules_of(function))
    found = _kinds.get((info, facts))
    if found is None:
        found = _remember(_kinds, (info, facts), FunctionKind(info))
    return found


def _remember(memory: dict[Any, T], key: object, value: T) -> T:
    if len(memory) >= _MANY:
        memory.clear()
    memory[key] = value
    return value


_CACHING = FunctionInfo.of(RESTING)
