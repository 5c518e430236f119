"""What is said about a cache: that it begins to fill, what it holds in the end, and what went stale in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from hookframe.admission.events import CacheFinished, CacheStarted
from hookframe.admission.request import Route
from hookframe.core.activation_cache import ActivationCache, cached_bytes
from hookframe.core.admitting import model_name
from hookframe.core.cache_sink import CacheSink, CachingFunction
from hookframe.core.caching_hooks import CachingAttachment
from hookframe.core.devices import device_in_force
from hookframe.core.handles import Attachment
from hookframe.core.warning_place import warn_user
from hookframe.errors import StaleActivationWarning

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.core.asking import Asked
    from hookframe.core.batch import Batch
    from hookframe.core.named_model import NamedModel

__all__ = ["report_caches", "sinks_of", "tell_started"]


def sinks_of(asked: Iterable[Asked]) -> list[CacheSink]:
    """The sinks that the caching functions among what is asked for feed, each once."""
    sinks: dict[int, CacheSink] = {}
    for _, _, function in asked:
        if isinstance(function, CachingFunction):
            sinks[id(function.sink)] = function.sink
    return [*sinks.values()]


def _feeding(sink: CacheSink, attachments: Sequence[Attachment]) -> list[CachingAttachment]:
    return [a for a in attachments if a.caches and a.function.sink is sink]  # type: ignore[misc]


def tell_started(
    root: NamedModel,
    sinks: Sequence[CacheSink],
    attachments: Sequence[Attachment],
    operation: int,
    route: Route,
    batch: Batch | None = None,
) -> None:
    """Tell observers that caching hooks are attached, one event for each sink.

    :param batch: the attachments as they were planned, if all of them were attached.
    """
    controller = root.controller
    if not sinks or not controller.wants("cache_started"):
        return
    only = batch if batch is not None and batch.caching and len(sinks) == 1 else None
    for sink in sinks:
        feeding = attachments if only is not None else _feeding(sink, attachments)
        device = device_in_force(root, sink.options.device)
        points = only.forward_labels if only is not None else tuple(a.label for a in feeding if a.direction == "fwd")
        event = CacheStarted(
            model=model_name(root),
            operation=operation,
            route=route,
            points=points,
            gradients=len(points) < len(feeding),
            device=None if device is None else str(device),
        )
        controller.notify(event)


def report_caches(
    root: NamedModel,
    controller: AdmissionController,
    sinks: Sequence[CacheSink],
    attachments: Sequence[Attachment],
    skipped: Mapping[str, str],
    operation: int,
    warn: bool,
    batch: Batch | None = None,
) -> int:
    """Warn of values that went stale, and tell observers what was cached.

    :param warn: False if an exception is on its way, which a warning must not replace.
    :param batch: as for :func:`tell_started`.
    :returns: the bytes cached, 0 if nobody wants to know.
    """
    wanted, total = controller.wanted, 0
    only = batch is not None and batch.caching and len(sinks) == 1
    for sink in sinks:
        stale = [*sink.stale(), *CachingAttachment.stale(attachments if only else _feeding(sink, attachments))]
        if isinstance(sink.cache, ActivationCache) and (stale or sink.cache.stale):
            sink.cache.stale = tuple(stale)
        if stale and warn:
            warn_user(_stale_text(stale), StaleActivationWarning)
        if "cache_finished" in wanted or "run_finished" in wanted or "check_run" in wanted:
            size = cached_bytes(sink.cache)
            total += size
            event = CacheFinished(
                model=model_name(root),
                operation=operation,
                stored=tuple(sink.cache),
                skipped=dict(skipped),
                bytes_cached=size,
                stale=tuple(stale),
            )
            controller.notify(event)
    return total


def _stale_text(stale: Sequence[str]) -> str:
    names = ", ".join(map(repr, stale[:5])) + (f" and {len(stale) - 5} more" if len(stale) > 5 else "")
    return (
        f"{len(stale)} cached activations were changed in place after they were cached and do not hold their value at "
        f"fire time: {names}; pass clone='auto' to keep it"
    )
