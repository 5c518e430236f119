"""Hooks of torch's that neither pass calls: when a state dict is made or loaded, and when something is put into a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_modules

from hookframe.scanning.functions import located
from hookframe.scanning.report import FoundHook

__all__ = ["registration_hooks", "state_dict_hooks"]

_TABLES: Mapping[str, str] = {
    "_state_dict_pre_hooks": "register_state_dict_pre_hook",
    "_state_dict_hooks": "_register_state_dict_hook",
    "_load_state_dict_pre_hooks": "register_load_state_dict_pre_hook",
    "_load_state_dict_post_hooks": "register_load_state_dict_post_hook",
}
_GLOBAL: Mapping[str, str] = {
    "_global_parameter_registration_hooks": "register_module_parameter_registration_hook",
    "_global_buffer_registration_hooks": "register_module_buffer_registration_hook",
    "_global_module_registration_hooks": "register_module_module_registration_hook",
}


def state_dict_hooks(name: str, module: nn.Module) -> Iterator[FoundHook]:
    """The hooks that torch calls when the state dict of one module is made or loaded."""
    for table, method in _TABLES.items():
        for function in module.__dict__.get(table, {}).values():
            public = table == "_state_dict_hooks" and getattr(function, "_from_public_api", False)
            yield _found(name, "register_state_dict_post_hook" if public else method, _unwrapped(function))


def registration_hooks() -> Iterator[FoundHook]:
    """The hooks that torch calls when a parameter, buffer or module is put into any module of the process."""
    for table, method in _GLOBAL.items():
        for function in getattr(torch_modules, table, {}).values():
            yield _found("*", method, function)


def _unwrapped(function: Any) -> object:
    """The user's function: torch wraps those that run before a state dict is loaded, to give them the module."""
    return function.hook if type(function).__module__ == torch_modules.__name__ else function


def _found(place: str, method: str, function: object) -> FoundHook:
    return FoundHook(place=place, kind=method, function=located(function), direction=None)
