"""Hooks that torch calls and no admission has seen: on modules, on parameters, on all modules at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from torch import nn
from torch.nn.modules import module as torch_modules

from hookframe.admission.request import Direction
from hookframe.core.hooks.torch_hook import AdmittedTorchHooks, admitted_ids
from hookframe.scanning.functions import located
from hookframe.scanning.report import FoundHook, Remark, Trait

__all__ = ["global_hooks", "hooks_on_module"]

_TABLES: Mapping[str, tuple[str, Direction]] = {
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
_PAST_POINT = "it was registered past the hook point's own methods: use them, and it is admitted as others are"
_PAST_ADMISSION = "no admission has seen it: put a hook point there, or remove it"


def hooks_on_module(name: str, module: nn.Module) -> Iterator[FoundHook]:
    """The torch hooks in the tables of one module, the gradient hooks of its own parameters, and a replaced forward.

    What hookframe registers itself, and what a hook point admitted, is left out or without a remark.
    """
    point = module if isinstance(module, AdmittedTorchHooks) else None
    admitted = frozenset[int]() if point is None else admitted_ids(point)
    for table, (method, direction) in _TABLES.items():
        for key, function in module.__dict__[table].items():
            if not getattr(function, "hookframe_managed", False):
                message = _PAST_ADMISSION if point is None else _PAST_POINT
                remarks = () if key in admitted else (Remark(Trait.UNMANAGED, message),)
                yield _found(name, method, function, direction, remarks)
    yield from _on_parameters(name, module)
    if "forward" in module.__dict__ and not getattr(module.__dict__["forward"], "hookframe_managed", False):
        message = "the module's forward was replaced on the instance: what it does, no hook shows"
        yield _found(name, "forward", module.__dict__["forward"], "fwd", (Remark(Trait.REPLACED, message),))


def _on_parameters(name: str, module: nn.Module) -> Iterator[FoundHook]:
    for own, parameter in module.named_parameters(recurse=False):
        for table, method in _ON_TENSORS.items():
            for function in (getattr(parameter, table, None) or {}).values():
                if not getattr(function, "hookframe_managed", False):
                    place = f"{name}.{own}" if name else own
                    yield _found(place, method, function, "bwd", (Remark(Trait.UNMANAGED, _PAST_ADMISSION),))


def global_hooks() -> Iterator[FoundHook]:
    """The hooks that torch calls for every module of the process."""
    message = "it runs for every module of every model: remove it, or register it on the modules that it is for"
    for table, (method, direction) in _GLOBAL.items():
        functions: dict[int, Any] = getattr(torch_modules, table)
        for function in functions.values():
            yield _found("*", method, function, direction, (Remark(Trait.GLOBAL, message),))


def _found(
    place: str, kind: str, function: object, direction: Literal["fwd", "bwd"], remarks: tuple[Remark, ...]
) -> FoundHook:
    return FoundHook(place=place, kind=kind, function=located(function), direction=direction, remarks=remarks)
