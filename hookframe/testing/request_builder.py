"""Requests with sensible defaults, for tests of validators."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from hookframe.admission.request import (
    CacheRequest,
    DeviceRequest,
    Direction,
    FunctionInfo,
    HookRequest,
    ResetRequest,
    Route,
    RunRequest,
)

__all__ = ["POINT", "RequestBuilder"]

POINT = "blocks.0.hook_resid_pre"
"""The point that requests are about unless they say otherwise."""


class RequestBuilder:
    """Builds requests, as the core would make them.

    ``hook_request("blocks.0.hook_mlp_out", my_function, direction="bwd")`` makes one for a function; a function that is not
    given is made up.
    """

    __slots__ = ()

    def __call__(
        self,
        point: str | None = POINT,
        function: Callable[..., Any] | FunctionInfo | None = None,
        *,
        index: int = 0,
        direction: Direction = "fwd",
        route: Route = "add_hook",
        **facts: Any,
    ) -> HookRequest:
        """One hook request; ``facts`` are further fields of :class:`~hookframe.admission.request.HookRequest`."""
        described = _described(function)
        return HookRequest(index=index, point=point, function=described, direction=direction, route=route, **facts)

    def batch(
        self,
        *points: str | None,
        function: Callable[..., Any] | FunctionInfo | None = None,
        **facts: Any,
    ) -> tuple[HookRequest, ...]:
        """One hook request for each point, indexed in order."""
        return tuple(self(point, function, index=index, **facts) for index, point in enumerate(points or (POINT,)))

    def cache(
        self,
        *points: str,
        device: str | None = "cpu",
        gradients: bool = False,
        route: Route = "run_with_cache",
    ) -> CacheRequest:
        """A request to cache activations."""
        return CacheRequest(points=points or (POINT,), device=device, gradients=gradients, route=route)

    def device(
        self,
        device: str = "cpu",
        *,
        purpose: Literal["model", "cache"] = "model",
        route: Route | None = None,
    ) -> DeviceRequest:
        """A request to use a device."""
        return DeviceRequest(
            device=device, purpose=purpose, route=route or ("to" if purpose == "model" else "run_with_cache")
        )

    def reset(
        self,
        points: Iterable[str] = (POINT,),
        *,
        permanent: int = 1,
        owned: int = 0,
        route: Route = "reset_hooks",
    ) -> ResetRequest:
        """A request to remove protected hooks."""
        return ResetRequest(points=tuple(points), permanent=permanent, owned=owned, route=route)

    def run(
        self,
        *,
        never_fired: Iterable[str] = (),
        bytes_cached: int = 0,
        unmanaged: Iterable[str] = (),
        route: Route = "run_with_hooks",
    ) -> RunRequest:
        """A request about a run that is over."""
        return RunRequest(
            never_fired=tuple(never_fired), bytes_cached=bytes_cached, unmanaged=tuple(unmanaged), route=route
        )


def _described(function: Callable[..., Any] | FunctionInfo | None) -> FunctionInfo:
    if function is None:
        return FunctionInfo(module="example.hooks", qualname="look", file="example/hooks.py", line=1)
    return function if isinstance(function, FunctionInfo) else FunctionInfo.of(function)
