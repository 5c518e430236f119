"""From a function to an attachment that is ready for admission."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from hookframe.admission.request import Direction, FunctionInfo
from hookframe.core.cache_sink import RESTING, CachingAttachment, CachingFunction, GradientCachingAttachment
from hookframe.core.describing import describe
from hookframe.core.effects import is_read_only
from hookframe.core.gradients import GradientAttachment
from hookframe.core.handles import Attachment
from hookframe.core.point_view import PointView
from hookframe.core.return_guard import ReturnRules, rules_of
from hookframe.core.terms import Terms
from hookframe.errors import InvalidDirection, InvalidHookFunction

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint
    from hookframe.core.types import HookFunction

__all__ = ["Nature", "nature_of", "plan_attachment", "plan_attachments"]

_KINDS = {
    ("fwd", False): Attachment,
    ("bwd", False): GradientAttachment,
    ("fwd", True): CachingAttachment,
    ("bwd", True): GradientCachingAttachment,
}


def plan_attachment(
    point: HookPoint,
    hook: HookFunction,
    *,
    direction: Direction,
    name: str | None = None,
    exact: bool = True,
    **options: Any,
) -> Attachment:
    """Plan one attachment; nothing is attached.

    :param options: those of :class:`~hookframe.core.terms.Terms`.
    :raises InvalidDirection: if ``direction`` is neither ``"fwd"`` nor ``"bwd"``.
    :raises InvalidHookFunction: if ``hook`` cannot be called.
    """
    return plan_attachments(((name, point, exact),), hook, direction=direction, **options)[0]


def plan_attachments(
    selection: Iterable[tuple[str | None, HookPoint, bool]], hook: HookFunction, *, direction: Direction, **options: Any
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
    terms = Terms(hook, direction, read_only=read_only, rules=rules, **options)
    suffix = hook.suffix if isinstance(hook, CachingFunction) else ""
    planned: list[Attachment] = []
    for name, point, exact in selection:
        shown = point.name_in(name)
        key = shown if shown is not None and not suffix else f"{shown}{suffix}"
        attachment: Attachment = kind(point, terms, name, exact, key)
        if shown is not None and shown != point.name:
            attachment.view = PointView(point, shown)
            attachment.plain = False
        planned.append(attachment)
    return planned


class Nature(NamedTuple):
    """What is planned alike for two functions that agree in it.

    :ivar stores: for caching hooks, what they add to the names of points; None for others.
    """

    info: FunctionInfo
    read_only: bool
    stores: str | None
    rules: ReturnRules | None


def nature_of(function: HookFunction) -> Nature:
    """What ``function`` is to whoever plans."""
    if isinstance(function, CachingFunction):
        return Nature(_CACHING, True, function.suffix, None)
    return Nature(FunctionInfo.of(function), is_read_only(function), None, rules_of(function))


_CACHING = FunctionInfo.of(RESTING)
