"""Requests and events to try a plugin with; the same ones every time, in every process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

from hookframe.admission import events
from hookframe.admission.decision import Decision
from hookframe.admission.objection import Objection
from hookframe.admission.request import FunctionInfo, HookRequest, Request, Route
from hookframe.hookspecs import VALIDATORS
from hookframe.testing.request_builder import RequestBuilder

__all__ = ["FUNCTIONS", "POINTS", "Batch", "ordinary", "told", "unknown"]

Batch: TypeAlias = tuple[str, tuple[Request, ...]]
"""A validator's name without the prefix, and the requests to ask it about: several for hooks, one for all others."""

_LOOK = FunctionInfo(module="example.analysis", qualname="look", file="example/analysis.py", line=3)
_BUILTIN = FunctionInfo(module="builtins", qualname="print")
_LOCAL = FunctionInfo(module="__main__", qualname="main.<locals>.<lambda>", file="<stdin>", line=1)
FUNCTIONS = (_LOOK, _BUILTIN, _LOCAL)
_PARTS = (
    "hook_resid_pre", "attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_pattern", "attn.hook_z",
    "attn.hook_result", "hook_attn_out", "hook_resid_mid", "hook_mlp_in", "mlp.hook_pre", "mlp.hook_post",
    "hook_mlp_out", "hook_resid_post",
)  # fmt: skip
POINTS = ("hook_embed", *(f"blocks.{layer}.{part}" for layer in range(2) for part in _PARTS))
"""Names that the tiny model has."""

_make = RequestBuilder()


def ordinary() -> list[Batch]:
    """What comes every day."""
    hooks: list[tuple[HookRequest, ...]] = [
        _make.batch(POINTS[1], function=_LOOK),
        _make.batch(*POINTS, function=_LOOK, route="run_with_cache", effect="read", exact=False, caches=True, level=1),
        _make.batch("blocks.0.hook_mlp_out", function=_LOCAL, direction="bwd", route="run_with_hooks", level=1),
        _make.batch(
            "blocks.1.attn.hook_pattern", "hook_embed", function=_BUILTIN, route="hooks", level=2, prepend=True
        ),
        _make.batch("blocks.1.hook_resid_post", function=_LOOK, route="hook_point", permanent=True),
        _make.batch("blocks.0.attn.hook_z", function=_LOOK, route="torch", aliases=("z", "out")),
        _make.batch("blocks.1.attn.hook_result", "blocks.1.hook_mlp_in", function=_LOOK, route="add_caching_hooks"),
    ]
    others: list[Batch] = [
        ("check_cache", (_make.cache(*POINTS),)),
        ("check_cache", (_make.cache("hook_embed", device="cuda:0", gradients=True),)),
        *(("check_device", (_make.device(device),)) for device in ("cpu", "cuda:0", "cuda", "mps")),
        *(("check_device", (_make.device(device, purpose="cache"),)) for device in ("cpu", "mps:0")),
        ("check_reset", (_make.reset(),)),
        ("check_reset", (_make.reset(POINTS[:3], permanent=0, owned=3, route="remove_all_hook_fns"),)),
        ("check_run", (_make.run(),)),
        ("check_run", (_make.run(never_fired=POINTS[:2], bytes_cached=1 << 20, unmanaged=("", "blocks.0")),)),
    ]
    return [*(("check_hooks_to_add", batch) for batch in hooks), *others]


def unknown() -> list[Batch]:
    """What this version of hookframe does not know, or no model of today has."""
    later = cast("Route", "a_route_of_a_later_version")
    names = (
        "visual.stem",
        "x",
        "0",
        "blocks",
        "blocks.",
        "blocks.first.hook_q",
        "blocks.99999.hook_q",
        "a..b",
        "hook q",
        "é",
        "",
    )
    odd = FunctionInfo(module="?", qualname="")
    device = [_make.device(name, purpose="cache") for name in ("meta", "xpu:3", "privateuseone:0", "npu", ":", "")]
    return [
        *(("check_hooks_to_add", _make.batch(name, function=odd)) for name in names),
        ("check_hooks_to_add", _make.batch(*names, function=_LOOK, level=10_000, aliases=("",), exact=False)),
        ("check_hooks_to_add", _make.batch("hook_embed", function=_LOOK, route=later)),
        ("check_hooks_to_add", _make.batch(None, function=odd, route="hook_point")),
        ("check_cache", (_make.cache(*names, device="xpu:3"),)),
        ("check_cache", (_make.cache("x", device=None, route=later),)),
        *(("check_device", (request,)) for request in device),
        ("check_device", (_make.device("cpu", route=later),)),
        ("check_reset", (_make.reset(("?", *names), permanent=99, owned=99, route=later),)),
        ("check_reset", (_make.reset((), permanent=0),)),
        ("check_run", (_make.run(never_fired=names, bytes_cached=1 << 60, unmanaged=names, route=later),)),
    ]


def told() -> list[tuple[str, dict[str, Any]]]:
    """Spec, and the argument of one call, for every observer; twice for those events that may be empty."""
    batch = _make.batch("hook_embed", POINTS[1], function=_LOOK)
    return [*_decisions(batch), *((spec, {"event": event}) for spec, event in _events(batch))]


def _decisions(batch: Sequence[HookRequest]) -> list[tuple[str, dict[str, Any]]]:
    makers: tuple[Callable[..., Objection], ...] = (Objection.deny, Objection.warn, Objection.skip, Objection.audit)
    objections = [make(batch[0], rule="r", message="m", remedy="do it") for make in makers]
    sets = [(), *((objection,) for objection in objections), tuple(objections)]
    others: list[tuple[Request, ...]] = [requests for spec, requests in ordinary() if spec != VALIDATORS[0]]
    decisions = [*(Decision(batch, some) for some in sets), *(Decision(requests) for requests in others)]
    return [("decision_made", {"decision": decision}) for decision in decisions]


def _events(batch: Sequence[HookRequest]) -> list[tuple[str, events.Event]]:
    of: dict[str, Any] = {"model": "TinyModel", "operation": 7}
    points = ("hook_embed", "?")
    return [
        ("hooks_added", events.HooksAdded(**of, route="hooks", requests=batch, skipped=("blocks.0.hook_mlp_in",))),
        ("hooks_added", events.HooksAdded(model="?", operation=1, route="torch", requests=())),
        ("hooks_removed", events.HooksRemoved(model="TinyModel", route="handle", points=points)),
        ("hooks_removed", events.HooksRemoved(model="?", route="remove_hooks", points=())),
        (
            "hooks_reset",
            events.HooksReset(
                model="TinyModel", route="reset_hooks", removed=2, including_permanent=True, direction="both"
            ),
        ),
        ("context_entered", events.ContextEntered(**of, route="hooks", level=1, hooks=2)),
        ("context_exited", events.ContextExited(**of, route="hooks", level=1, removed=2)),
        ("context_exited", events.ContextExited(**of, route="hooks", level=1, removed=0, error="ValueError")),
        (
            "cache_started",
            events.CacheStarted(**of, route="run_with_cache", points=points, gradients=True, device="cpu"),
        ),
        ("cache_started", events.CacheStarted(**of, route="run_with_cache", points=(), gradients=False, device=None)),
        (
            "cache_finished",
            events.CacheFinished(
                **of, stored=points, skipped={"blocks.0.hook_mlp_in": "gated"}, bytes_cached=64, stale=("hook_embed",)
            ),
        ),
        ("cache_finished", events.CacheFinished(**of, stored=(), skipped={}, bytes_cached=0)),
        (
            "run_finished",
            events.RunFinished(**of, route="run_with_hooks", counts={("hook_embed", "fwd"): 1, ("?", "bwd"): 0}),
        ),
        (
            "run_finished",
            events.RunFinished(**of, route="run_with_cache", counts={}, bytes_cached=64, error="KeyError"),
        ),
        (
            "hook_failed",
            events.HookFailed(
                model="TinyModel", point="hook_embed", direction="fwd", function=_LOOK, error="ValueError", message=""
            ),
        ),
    ]
