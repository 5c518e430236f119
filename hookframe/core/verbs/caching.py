"""What the caching verbs share: from their options to a reviewed sink, and what to call ``backward`` on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from hookframe.admission.controller import AdmissionController
from hookframe.admission.request import CacheRequest, Direction, Route
from hookframe.core.cache.activation_cache import ActivationCache
from hookframe.core.cache.sink import AS_IS, CacheOptions, CacheSink
from hookframe.core.hooks.caching import CachingFunction
from hookframe.core.model.named_model import NamedModel
from hookframe.core.model.names import Selection
from hookframe.core.registration.admission import device_in_force, device_named, review_device, review_or_raise
from hookframe.core.values.slices import Slice, SliceInput
from hookframe.core.values.text import describe
from hookframe.core.values.types import CloneMode, DeviceType
from hookframe.errors import GradientError

__all__ = ["check_batch_of_one", "functions_for", "loss_of", "options_for", "prepare", "reviewed"]


def loss_of(output: Any) -> Any:
    """What to call ``backward`` on: the output, or its ``loss``.

    :raises GradientError: if it has neither ``backward`` nor a loss.
    """
    loss = output if hasattr(output, "backward") else getattr(output, "loss", None)
    if loss is None:
        raise GradientError(
            f"the output is a {type(output).__name__} without a loss, so there is no gradient to begin with: give the model "
            "what it computes a loss from, such as labels=, or call backward() inside 'with model.hooks(...)'"
        )
    return loss


def functions_for(sink: CacheSink, gradients: bool) -> list[tuple[Direction, CachingFunction]]:
    """The functions that feed ``sink``, with their directions; one for gradients if these are asked for."""
    found: list[tuple[Direction, CachingFunction]] = [("fwd", CachingFunction(sink))]
    if gradients:
        found.append(("bwd", CachingFunction(sink, "_grad")))
    return found


def prepare(
    root: NamedModel,
    selection: Selection,
    options: CacheOptions,
    *,
    gradients: bool,
    cache: dict[str, torch.Tensor] | None,
    route: Route,
) -> CacheSink:
    """Review the device and the cache, then make the sink; nothing is attached.

    :raises HookDenied: if either is refused.
    """
    options = reviewed(root, root.controller, selection, options, gradients=gradients, route=route)
    return CacheSink(ActivationCache().came_from(root) if cache is None else cache, options)


def reviewed(
    root: NamedModel,
    controller: AdmissionController,
    selection: Selection,
    options: CacheOptions,
    *,
    gradients: bool,
    route: Route,
) -> CacheOptions:
    """The options, with the device that the reviews of the cache and of the device settle on.

    :raises HookDenied: if either is refused; nothing is attached.
    """
    wanted = controller.wanted
    if "check_cache" not in wanted and "check_device" not in wanted:
        return options
    device = chosen = device_in_force(root, options.device)
    if "check_cache" in wanted:
        request = CacheRequest(
            points=tuple(name for name, _, _ in selection),
            device=None if device is None else str(device),
            gradients=gradients,
            route=route,
        )
        decision = review_or_raise(controller.review_cache(request, root))
        if decision.device is not None:
            chosen = device_named(decision)
    if chosen is not None:
        chosen = review_device(root, chosen, "cache", route)
    return options if chosen == device else replace(options, device=chosen)


def options_for(
    device: DeviceType, remove_batch_dim: bool, pos_slice: Slice | SliceInput, clone: CloneMode
) -> CacheOptions:
    """The options of a verb as a value.

    :raises ValueError: if ``clone`` is unknown, or ``pos_slice`` is no slice.
    """
    if clone not in ("never", "auto", "always"):
        raise ValueError(f"clone={describe(clone)} is unknown: use 'never', 'auto' or 'always'")
    sliced = None if pos_slice is None else Slice.unwrap(pos_slice)
    if device is None is sliced and clone == "never" and not remove_batch_dim:
        return AS_IS
    return CacheOptions(
        device=device,
        remove_batch_dim=remove_batch_dim,
        pos_slice=None if sliced is None or sliced.mode == "identity" else sliced,
        clone=clone,
    )


def check_batch_of_one(model_args: tuple[Any, ...]) -> None:
    """Refuse to drop the batch dimension of an input that has more than one row.

    :raises AssertionError: if it has; code written for TransformerLens expects this error.
    """
    first = next((arg for arg in model_args if isinstance(arg, torch.Tensor)), None)
    if first is not None and first.dim() > 0 and first.shape[0] != 1:
        raise AssertionError(
            f"remove_batch_dim needs a batch of 1, and the input has batch size {first.shape[0]} "
            f"(shape {list(first.shape)}): run the inputs one by one, or keep the dimension"
        )
