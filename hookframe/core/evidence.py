"""Which hooks fired, and what is known about those that did not."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from hookframe.admission.request import Direction, FunctionInfo
from hookframe.core.handles import Attachment
from hookframe.core.warning_place import warn_user
from hookframe.errors import HookDidNotFireWarning, HooksLostWarning

if TYPE_CHECKING:
    from hookframe.core.named_model import NamedModel
    from hookframe.core.tree import ModuleTree

__all__ = [
    "all_silent",
    "counts",
    "explain_silence",
    "is_compiled_elsewhere",
    "silent_hooks",
    "warn_of_lost",
    "warn_of_lost_hooks",
    "warn_of_silence",
]

_GATES = {  # last part of a point's name → the config flag without which it never fires (TransformerLens's names)
    "hook_result": "use_attn_result",
    "hook_q_input": "use_split_qkv_input",
    "hook_k_input": "use_split_qkv_input",
    "hook_v_input": "use_split_qkv_input",
    "hook_mlp_in": "use_hook_mlp_in",
    "hook_attn_in": "use_attn_in",
}


def counts(attachments: Sequence[Attachment]) -> dict[tuple[str, Direction], int]:
    """How often the hooks at each point and direction fired, all of an operation's together."""
    total: dict[tuple[str, Direction], int] = {}
    for attachment in attachments:
        key = (attachment.label, attachment.direction)
        total[key] = total.get(key, 0) + attachment.fired
    return total


def silent_hooks(attachments: Sequence[Attachment], *, backward_too: bool) -> list[Attachment]:
    """The hooks at exactly named points that never fired since they were attached.

    :param backward_too: False if the backward pass may still come.
    """
    return [a for a in attachments if not a.has_fired and a.exact and (backward_too or a.direction == "fwd")]


def all_silent(attachments: Sequence[Attachment], *, backward_too: bool) -> list[Attachment]:
    """The hooks at points that filters chose, if not one of them all fired since they were attached; else none.

    :param backward_too: False if the backward pass may still come.
    """
    if any(attachment.has_fired for attachment in attachments):
        return []
    return [attachment for attachment in attachments if backward_too or attachment.direction == "fwd"]


def warn_of_silence(root: NamedModel, silent: Sequence[Attachment], attachments: Sequence[Attachment]) -> None:
    """Warn of the ``silent`` ones among ``attachments``, with what is known: of each that was asked for by name."""
    swept = [attachment for attachment in silent if not attachment.exact]
    for attachment in [*(a for a in silent if a.exact), *swept[:1]]:
        function = FunctionInfo.of(attachment.user_hook)
        what = "caching hook" if attachment.caches else f"hook {function}"
        which = f"the {attachment.direction} {what} at {attachment.label!r}"
        if attachment.exact:
            text = f"{which} never fired"
        else:
            text = f"none of the {len(swept)} hooks at points that a filter chose fired, {which} for one"
        warn_user(f"{text}: {explain_silence(root, attachment, attachments)}", HookDidNotFireWarning)


def warn_of_lost(before: ModuleTree, after: ModuleTree) -> None:
    """Warn of hooks at points that were in the model and no longer are: nothing calls them there."""
    lost = [
        f"{FunctionInfo.of(attachment.user_hook)} at {before.names[id(point)]!r}"
        for point in {id(point): point for point in before.points.values()}.values()
        if id(point) not in after.names
        for attachment in point.fitting("both", True, None)
    ]
    if lost:
        warn_of_lost_hooks(lost)


def warn_of_lost_hooks(lost: Sequence[str]) -> None:
    """Warn of hooks, each described with its point, whose points are no longer in the model."""
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    warn_user(
        f"modules of the model were replaced or deleted, and {len(lost)} hooks with them: {', '.join(lost[:5])}{more}; "
        "attach them again, to what is there now",
        HooksLostWarning,
    )


def is_compiled_elsewhere(model: nn.Module) -> bool:
    """True if an object that ``torch.compile(model)`` made is alive: its code may pass by hooks that came later.

    Nothing on the model says so: all objects are looked through, unless nothing in this process has loaded the compiler.
    """
    compiler = _compiler()
    kind = None if compiler is None else compiler.OptimizedModule
    return kind is not None and any(issubclass(type(o), kind) and o._orig_mod is model for o in gc.get_objects())


def _compiler() -> Any:
    return sys.modules.get("torch._dynamo.eval_frame")


def explain_silence(root: Any, silent: Attachment, attachments: Sequence[Attachment]) -> str:
    """Say what is known about why a hook did not fire, from the model's flags and from the hooks that did."""
    flag = _GATES.get(silent.label.rpartition(".")[2])
    config = getattr(root, "cfg", None)
    if flag is not None and getattr(config, flag, None) is False:
        return f"the point is gated, and cfg.{flag} is off: turn it on"
    if silent.direction == "bwd":
        return (
            "no gradient reached it: call backward() while the hook is attached, on an output of a forward that was run "
            "while it was, and check that something before the point requires a gradient"
        )
    known = silent.point.why_silent()
    if known is not None:
        return known
    order = {name: place for place, name in enumerate(root.hook_dict)}
    own = order.get(silent.label, -1)
    fired = [order.get(a.label, -1) for a in attachments if a.has_fired and a.direction == "fwd"]
    if not fired:
        compiled = "" if _compiler() is None else ", or it ran as code that was compiled before the hook was attached"
        return (
            "no other hook of this operation fired either: the model's forward does not call this point's module, "
            f"stopped before it, or the model was not run{compiled}"
        )
    if max(fired) > own:
        return (
            "hooks at later points did, so this point lies in a branch that was not taken, or its module is not called"
        )
    last = list(order)[max(fired)]
    return f"the last hook that did was at {last!r}: the model may have stopped there, or this point's module is not called"
