"""Hooks in torch's own tables: on modules, parameters and state dicts, and those for all modules of the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_modules

from hookframe.admission.request import Direction
from hookframe.core.hooks.torch_hook import AdmittedTorchHooks, admitted_ids
from hookframe.inspecting.report import FoundHook, Remark, Trait, located

__all__ = ["global_hooks", "hooks_on_module", "registration_hooks", "state_dict_hooks"]

_ON_MODULES: Mapping[str, tuple[str, Direction]] = {
    "_forward_pre_hooks": ("register_forward_pre_hook", "fwd"),
    "_forward_hooks": ("register_forward_hook", "fwd"),
    "_backward_pre_hooks": ("register_full_backward_pre_hook", "bwd"),
    "_backward_hooks": ("register_full_backward_hook", "bwd"),
}
_GLOBAL: Mapping[str, tuple[str, Direction]] = {
    "_global_forward_pre_hooks": ("register_module_forward_pre_hook", "fwd"),
    "_global_forward_hooks": ("register_module_forward_hook", "fwd"),
    "_global_backward_pre_hooks": ("register_module_full_backward_pre_hook", "bwd"),
    "_global_backward_hooks": ("register_module_full_backward_hook", "bwd"),
}
_ON_TENSORS: Mapping[str, str] = {
    "_backward_hooks": "register_hook",
    "_post_accumulate_grad_hooks": "register_post_accumulate_grad_hook",
}
_ON_STATE_DICTS: Mapping[str, str] = {
    "_state_dict_pre_hooks": "register_state_dict_pre_hook",
    "_state_dict_hooks": "_register_state_dict_hook",
    "_load_state_dict_pre_hooks": "register_load_state_dict_pre_hook",
    "_load_state_dict_post_hooks": "register_load_state_dict_post_hook",
}
_ON_REGISTRATION: Mapping[str, str] = {
    "_global_parameter_registration_hooks": "register_module_parameter_registration_hook",
    "_global_buffer_registration_hooks": "register_module_buffer_registration_hook",
    "_global_module_registration_hooks": "register_module_module_registration_hook",
}
_PAST_POINT = "it was registered past the hook point's own methods: use them, and it is admitted as others are"
_PAST_ADMISSION = "no admission has seen it: put a hook point there, or remove it"


def hooks_on_module(name: str, module: nn.Module) -> Iterator[FoundHook]:
    """The torch hooks in the tables of one module, the gradient hooks of its own parameters, and a replaced forward.

    What hookframe registers itself, and what a hook point admitted, is left out or without a remark.
    """
    point = module if isinstance(module, AdmittedTorchHooks) else None
    admitted = frozenset[int]() if point is None else admitted_ids(point)
    for table, (method, direction) in _ON_MODULES.items():
        for key, function in module.__dict__[table].items():
            if not getattr(function, "hookframe_managed", False):
                message = _PAST_ADMISSION if point is None else _PAST_POINT
                remarks = () if key in admitted else (Remark(Trait.UNMANAGED, message),)
                yield _found(name, method, function, direction, *remarks)
    yield from _on_parameters(name, module)
    if "forward" in module.__dict__ and not getattr(module.__dict__["forward"], "hookframe_managed", False):
        message = "the module's forward was replaced on the instance: no hook shows what it does"
        yield _found(name, "forward", module.__dict__["forward"], "fwd", Remark(Trait.REPLACED, message))


def _on_parameters(name: str, module: nn.Module) -> Iterator[FoundHook]:
    for own, parameter in module.named_parameters(recurse=False):
        for table, method in _ON_TENSORS.items():
            for function in (getattr(parameter, table, None) or {}).values():
                if not getattr(function, "hookframe_managed", False):
                    place = f"{name}.{own}" if name else own
                    yield _found(place, method, function, "bwd", Remark(Trait.UNMANAGED, _PAST_ADMISSION))


def global_hooks() -> Iterator[FoundHook]:
    """The hooks that torch calls for every module of the process."""
    message = "it runs for every module of every model: remove it, or register it on the modules that it is for"
    for table, (method, direction) in _GLOBAL.items():
        for function in getattr(torch_modules, table).values():
            yield _found("*", method, function, direction, Remark(Trait.GLOBAL, message))


def state_dict_hooks(name: str, module: nn.Module) -> Iterator[FoundHook]:
    """The hooks that torch calls when the state dict of one module is made or loaded."""
    for table, method in _ON_STATE_DICTS.items():
        for function in module.__dict__.get(table, {}).values():
            public = table == "_state_dict_hooks" and getattr(function, "_from_public_api", False)
            yield _found(name, "register_state_dict_post_hook" if public else method, _unwrapped(function), None)


def registration_hooks() -> Iterator[FoundHook]:
    """The hooks that torch calls when a parameter, buffer or module is put into any module of the process."""
    for table, method in _ON_REGISTRATION.items():
        for function in getattr(torch_modules, table, {}).values():
            yield _found("*", method, function, None)


def _unwrapped(function: Any) -> object:
    """The user's function: torch wraps those that run before a state dict is loaded, to give them the module."""
    return function.hook if type(function).__module__ == torch_modules.__name__ else function


def _found(place: str, kind: str, function: object, direction: Direction | None, *remarks: Remark) -> FoundHook:
    return FoundHook(place=place, kind=kind, function=located(function), direction=direction, remarks=remarks)
