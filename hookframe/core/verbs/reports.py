"""Reports to observers (caches filled, functions that raised) and to the user (stale values, hooks in an export)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import nn

from hookframe.admission.events import CacheFinished, CacheStarted, HookFailed
from hookframe.admission.listing import listed
from hookframe.admission.request import FunctionInfo, Route
from hookframe.core.cache.activation_cache import ActivationCache, cached_bytes
from hookframe.core.cache.sink import CacheSink
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.caching import CachingAttachment
from hookframe.core.hooks.torch_hook import AdmittedTorchHooks, registrations
from hookframe.core.registration.admission import device_in_force, model_name
from hookframe.core.values.warn import warn_user
from hookframe.errors import ExportError, HooksExportedWarning, StaleActivationWarning

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.core.model.named_model import NamedModel
    from hookframe.core.registration.batch import Batch

__all__ = ["report_caches", "review_export", "tell_failures", "tell_started", "unmanaged_modules"]


def tell_failures(root: NamedModel | None, attachments: Sequence[Attachment], controller: AdmissionController) -> None:
    """Tell observers of the functions that raised, each once."""
    for attachment in attachments:
        error = attachment.error
        if error is None:
            continue
        attachment.error = None
        if controller.wants("hook_failed"):
            event = HookFailed(
                model=model_name(root),
                point=attachment.shown_name,
                direction=attachment.direction,
                function=FunctionInfo.of(attachment.user_hook),
                error=type(error).__name__,
                message=str(error),
            )
            controller.notify(event)


def review_export(attachments: Sequence[Attachment]) -> None:
    """Warn of the hooks that are on a model while a program is exported from it.

    :raises ExportError: if a caching hook is among them, which would store placeholders; the export ends.
    """
    if not attachments:
        return
    caching = [attachment.shown_name for attachment in attachments if attachment.caches]
    if caching:
        raise ExportError(
            f"the model is exported while {len(caching)} caching hooks are attached, at {caching[0]!r} for one: they would "
            "store placeholders now, and nothing when the program runs; remove them first, and cache in the model itself"
        )
    backward = [a for a in attachments if a.direction == "bwd"]
    forward = [a for a in attachments if a.direction == "fwd"]
    parts = []
    if forward:
        parts.append(
            f"{len(forward)} hooks are attached ({_named(forward)}): what they do to tensors becomes a part of the program, "
            "for good; what else they do happens once, now"
        )
    if backward:
        parts.append(
            f"{len(backward)} backward hooks are attached ({_named(backward)}): they are no part of the program, and its "
            "gradients do not pass them"
        )
    text = f"the model is exported while {' and '.join(parts)}; remove them first if that is not meant"
    warn_user(text, HooksExportedWarning)


def _named(attachments: Sequence[Attachment]) -> str:
    return listed((f"{FunctionInfo.of(a.user_hook)} at {a.shown_name!r}" for a in attachments), 3)


def unmanaged_modules(root: nn.Module) -> tuple[str, ...]:
    """Names of the modules with a torch hook that was registered past admission, sorted; ``""`` for ``root`` itself.

    Hook points do not count, since what is registered on them was admitted; nor does a function with an attribute
    ``hookframe_managed``, which hookframe itself registers for points on modules that are not its own.
    """
    modules: Mapping[str, nn.Module] | None = root.__dict__.get("mod_dict")  # no walk through the tree after each run
    named = root.named_modules() if modules is None else [("", root), *modules.items()]
    return tuple(sorted(name for name, module in named if _is_unmanaged(module)))


def _is_unmanaged(module: nn.Module) -> bool:
    own = module.__dict__
    if not (own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]):
        return False
    if isinstance(module, AdmittedTorchHooks):
        return False
    return any(not getattr(function, "hookframe_managed", False) for _, function, _ in registrations(module))


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
        points = (
            only.forward_names if only is not None else tuple(a.shown_name for a in feeding if a.direction == "fwd")
        )
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
    :returns: the bytes cached; 0 if no plugin wants to know.
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
    return (
        f"{len(stale)} cached activations were changed in place after they were cached and do not hold their value at "
        f"fire time: {listed(map(repr, stale))}; pass clone='auto' to keep it"
    )
