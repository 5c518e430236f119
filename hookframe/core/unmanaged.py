"""Torch hooks on a model's modules that no admission has seen."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from hookframe.core.torch_hooks import AdmittedTorchHooks, registrations

__all__ = ["unmanaged_modules"]


def unmanaged_modules(root: nn.Module) -> tuple[str, ...]:
    """Names of the modules with a torch hook that was registered past admission, sorted; ``""`` for ``root`` itself.

    Hook points are left out, since what is registered on them was admitted; and so is a function with an attribute
    ``hookframe_managed``, which hookframe registers itself for points on somebody else's modules.
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
