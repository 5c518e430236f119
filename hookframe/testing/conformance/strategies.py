"""Generated requests, with Hypothesis: anything that the types allow, and mostly what models look like."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from hookframe.admission.request import (
    CacheRequest,
    DeviceRequest,
    FunctionInfo,
    HookRequest,
    Request,
    ResetRequest,
    Route,
    RunRequest,
)
from hookframe.testing.conformance.samples import FUNCTIONS, POINTS, Batch

__all__ = ["batches", "cache_requests", "device_requests", "hook_batches", "reset_requests", "run_requests"]

_LARGEST_BATCH = 6
_names = st.sampled_from(POINTS) | st.text(max_size=20)
_routes: SearchStrategy[Route] = st.sampled_from(get_args(Route))
_devices = st.sampled_from(("cpu", "cuda", "cuda:0", "mps", "mps:0", "xpu:1", "meta")) | st.text(max_size=8)
_counts = st.integers(0, 10_000)
_functions = st.sampled_from(FUNCTIONS) | st.builds(
    FunctionInfo,
    module=st.text(max_size=12),
    qualname=st.text(max_size=12),
    file=st.none() | st.text(max_size=12),
    line=st.none() | _counts,
)


@st.composite
def hook_batches(draw: st.DrawFn) -> tuple[HookRequest, ...]:
    """Batches of up to six hook requests, indexed in order."""
    route = draw(_routes)
    return tuple(
        HookRequest(
            index=index,
            point=draw(_names),
            function=draw(_functions),
            direction=draw(st.sampled_from(("fwd", "bwd"))),
            route=route,
            effect=draw(st.sampled_from(("read", "edit"))),
            exact=draw(st.booleans()),
            permanent=draw(st.booleans()),
            prepend=draw(st.booleans()),
            level=draw(st.none() | st.integers(0, 20)),
            aliases=tuple(draw(st.lists(_names, max_size=2))),
            caches=draw(st.booleans()),
        )
        for index in range(draw(st.integers(1, _LARGEST_BATCH)))
    )


def _points() -> SearchStrategy[tuple[str, ...]]:
    return st.lists(_names, max_size=_LARGEST_BATCH).map(tuple)


def cache_requests() -> SearchStrategy[CacheRequest]:
    """Cache requests."""
    devices = st.none() | _devices
    return st.builds(CacheRequest, points=_points(), device=devices, gradients=st.booleans(), route=_routes)


def device_requests() -> SearchStrategy[DeviceRequest]:
    """Device requests."""
    return st.builds(DeviceRequest, device=_devices, purpose=st.sampled_from(("model", "cache")), route=_routes)


def reset_requests() -> SearchStrategy[ResetRequest]:
    """Reset requests."""
    return st.builds(ResetRequest, points=_points(), permanent=_counts, owned=_counts, route=_routes)


def run_requests() -> SearchStrategy[RunRequest]:
    """Requests about runs."""
    return st.builds(RunRequest, never_fired=_points(), bytes_cached=_counts, unmanaged=_points(), route=_routes)


def batches(spec: str) -> SearchStrategy[Batch]:
    """What the validator ``spec`` can be asked."""
    if spec == "check_hooks_to_add":
        return hook_batches().map(lambda requests: (spec, requests))
    kinds: dict[str, SearchStrategy[Request]] = {
        "check_cache": cache_requests(),
        "check_device": device_requests(),
        "check_reset": reset_requests(),
        "check_run": run_requests(),
    }
    return kinds[spec].map(lambda request: (spec, (request,)))
