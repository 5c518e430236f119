"""Why a model may compute something else when one of its points is looked at."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from hookframe.core.verbs.root_module import HookedRootModule
from hookframe.instrumenting.module_point import ModulePoint

__all__ = ["reason_for"]

_FUSED = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)


def reason_for(root: HookedRootModule, name: str) -> str:
    """What is known about the point called ``name``, as a phrase."""
    point = root.hook_dict[name]
    if isinstance(point, ModulePoint):
        for path, module in _around(root, point.module_name):
            if isinstance(module, _FUSED):
                return (
                    f"{path or 'the model'} is a torch {type(module).__name__}, which takes its fused path only while no "
                    "module inside of it has a hook: compare with torch.backends.mha.set_fastpath_enabled(False)"
                )
    if point.hook_conversion is not None:
        return (
            f"its conversion, a {type(point.hook_conversion).__name__}, runs for each function and changes the tensor"
        )
    return "the model's own code does something else while this point has a function (it reads fwd_hooks, or torch's tables)"


def _around(root: HookedRootModule, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules around and at ``path``, the outermost first, each with its path."""
    inside = dict(root.named_modules())
    parts = path.split(".") if path else []
    for length in range(len(parts) + 1):
        here = ".".join(parts[:length])
        yield here, inside[here]
