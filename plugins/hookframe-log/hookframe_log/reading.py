"""Reading events: what each kind of them says about the selected points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hookframe import Decision
from hookframe.admission import events
from hookframe.admission.request import CacheRequest, FunctionInfo, HookRequest, Request, ResetRequest
from hookframe_log.entry import Entry, Many, counted

if TYPE_CHECKING:
    from hookframe.admission.events import Event
    from hookframe_log.selector import Selector

__all__ = ["entry_of"]


def entry_of(event: Event | Decision, selector: Selector) -> Entry | None:
    """What ``event`` says about the points that ``selector`` selects; None if it is about none of them.

    With a selector, an event that is about no point at all is left out as well.
    """
    entry = _READERS[type(event)](event, selector)
    return entry if entry.points or selector.everything else None


def _decision_made(decision: Decision, selector: Selector) -> Entry:
    requests = list(decision.requests)
    first = requests[0] if requests else None
    selected = [request for request in requests if any(point in selector for point in _points_of(request))]
    skipped = decision.skipped
    left_out = [point for request in selected if request.index in skipped for point in _points_of(request)]
    return Entry(
        event="decision_made",
        route=None if first is None else first.route,
        points=Many(selector.pick(point for request in selected for point in _points_of(request))),
        facts={
            "number": decision.number,
            "allowed": decision.allowed,
            "subject": _subject(first, len(selected)),
            "left_out": Many(selector.pick(left_out)),
            "device_instead": decision.device,
            "objections": Many(tuple(map(_objection, decision.objections))),
        },
    )


def _hooks_added(event: events.HooksAdded, selector: Selector) -> Entry:
    requests = [request for request in event.requests if _name(request.point) in selector]
    functions = dict.fromkeys(_described(request.function) for request in requests if not request.caches)
    left_out = selector.pick(event.skipped)
    return Entry(
        event="hooks_added",
        model=event.model,
        operation=event.operation,
        route=event.route,
        points=Many(selector.pick([*(_name(request.point) for request in requests), *left_out])),
        facts={
            "hooks": len(requests),
            "caching": sum(request.caches for request in requests),
            "permanent": sum(request.permanent for request in requests),
            "functions": Many(tuple(functions)),
            "left_out": Many(left_out),
        },
    )


def _hooks_removed(event: events.HooksRemoved, selector: Selector) -> Entry:
    return Entry(
        event="hooks_removed",
        model=event.model,
        route=event.route,
        points=Many(selector.pick(event.points)),
        facts={"hooks": sum(1 for point in event.points if point in selector)},
    )


def _hooks_reset(event: events.HooksReset, _: Selector) -> Entry:
    return Entry(
        event="hooks_reset",
        model=event.model,
        route=event.route,
        facts={
            "hooks": event.removed,
            "direction": event.direction,
            "including_permanent": event.including_permanent,
        },
    )


def _context_entered(event: events.ContextEntered, _: Selector) -> Entry:
    return Entry(
        event="context_entered",
        model=event.model,
        operation=event.operation,
        route=event.route,
        facts={"hooks": event.hooks, "level": event.level},
    )


def _context_exited(event: events.ContextExited, _: Selector) -> Entry:
    return Entry(
        event="context_exited",
        model=event.model,
        operation=event.operation,
        route=event.route,
        facts={"hooks": event.removed, "level": event.level, "error": event.error},
    )


def _cache_started(event: events.CacheStarted, selector: Selector) -> Entry:
    return Entry(
        event="cache_started",
        model=event.model,
        operation=event.operation,
        route=event.route,
        points=Many(selector.pick(event.points)),
        facts={"device": event.device, "gradients": event.gradients},
    )


def _cache_finished(event: events.CacheFinished, selector: Selector) -> Entry:
    stored, left_out = selector.pick_keys(event.stored), selector.pick(event.skipped)
    return Entry(
        event="cache_finished",
        model=event.model,
        operation=event.operation,
        points=Many((*stored, *left_out)),
        facts={
            "stored": len(stored),
            "left_out": Many(left_out),
            "stale": Many(selector.pick_keys(event.stale)),
            "bytes_cached": event.bytes_cached,
        },
    )


def _run_finished(event: events.RunFinished, selector: Selector) -> Entry:
    counts = [(point, direction, n) for (point, direction), n in event.counts.items() if point in selector]
    never = selector.pick(event.never_fired)
    return Entry(
        event="run_finished",
        model=event.model,
        operation=event.operation,
        route=event.route,
        points=Many(selector.pick([*(point for point, _, _ in counts), *never])),
        facts={
            "fired": len({point for point, _, n in counts if n}),
            "counts": Many(tuple({"point": p, "direction": d, "fired": n} for p, d, n in counts)),
            "never_fired": Many(never),
            "bytes_cached": event.bytes_cached,
            "error": event.error,
        },
    )


def _hook_failed(event: events.HookFailed, selector: Selector) -> Entry:
    # The exception's text is left out: it is the user's, and may print a tensor.
    return Entry(
        event="hook_failed",
        model=event.model,
        points=Many(selector.pick([event.point])),
        facts={
            "direction": event.direction,
            "function": _described(event.function),
            "error": event.error,
        },
    )


_READERS: Mapping[type, Callable[[Any, Selector], Entry]] = {
    Decision: _decision_made,
    events.HooksAdded: _hooks_added,
    events.HooksRemoved: _hooks_removed,
    events.HooksReset: _hooks_reset,
    events.ContextEntered: _context_entered,
    events.ContextExited: _context_exited,
    events.CacheStarted: _cache_started,
    events.CacheFinished: _cache_finished,
    events.RunFinished: _run_finished,
    events.HookFailed: _hook_failed,
}


def _subject(first: Request | None, hooks: int) -> str:
    if first is None or isinstance(first, HookRequest):
        return counted(hooks, "hook")
    return first.subject  # there is one request in the batch


def _described(function: FunctionInfo) -> str:
    return f"{function.module}.{function.qualname}"


def _objection(objection: Any) -> dict[str, str | None]:
    # Message and remedy are left out: a plugin may put anything into them.
    return {
        "action": str(objection.action),
        "rule": objection.rule,
        "source": objection.source,
        "point": objection.request.point if isinstance(objection.request, HookRequest) else None,
    }


def _points_of(request: Request) -> Iterable[str]:
    match request:
        case HookRequest():
            return (_name(request.point),)
        case CacheRequest() | ResetRequest():
            return request.points
        case _:
            return ()


def _name(point: str | None) -> str:
    return "?" if point is None else point
