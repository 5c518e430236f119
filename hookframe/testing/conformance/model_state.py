"""What a validator must leave alone in a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookframe.core.verbs.root_module import HookedRootModule

__all__ = ["state_of"]


def state_of(model: HookedRootModule) -> dict[str, Any]:
    """What can be seen of a model from outside, by name: comparing two tells what was changed in between."""
    state: dict[str, Any] = {}
    for name, module in model.named_modules():
        state[f"{name or 'the model'}.training"] = module.training
        state[f"the hooks of {name or 'the model'}"] = (
            len(module._forward_hooks) + len(module._forward_pre_hooks),
            len(module._backward_hooks) + len(module._backward_pre_hooks),
        )
    for name, point in model.hook_dict.items():
        state[f"the hooks of {name}"] = (len(point.fwd_hooks), len(point.bwd_hooks))
    for name, weight in model.named_parameters():
        state[name] = (weight.dtype, weight.device, weight.requires_grad, weight._version, weight.data_ptr())
    state["cfg"] = dict(vars(model.cfg))
    return state
