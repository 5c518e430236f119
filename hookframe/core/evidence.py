"""Which hooks fired, and what is known about those that did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hookframe.admission.request import Direction, FunctionInfo
from hookframe.core.handles import Attachment
from hookframe.core.warning_place import warn_user
from hookframe.errors import HookDidNotFireWarning

if TYPE_CHECKING:
    from hookframe.core.named_model import NamedModel

__all__ = ["counts", "explain_silence", "never_fired", "warn_of_silence"]

_GATES = {  # last part of a point's name → the config flag without which it never fires (TransformerLens's names)
    "hook_result": "use_attn_result",
    "hook_q_input": "use_split_qkv_input",
    "hook_k_input": "use_split_qkv_input",
    "hook_v_input": "use_split_qkv_input",
    "hook_mlp_in": "use_hook_mlp_in",
    "hook_attn_in": "use_attn_in",
}


def counts(attachments: Sequence[Attachment]) -> Mapping[tuple[str, Direction], int]:
    """How often the hooks at each point and direction fired, all of an operation's together."""
    total: dict[tuple[str, Direction], int] = {}
    for attachment in attachments:
        key = (attachment.label, attachment.direction)
        total[key] = total.get(key, 0) + attachment.fired
    return total


def never_fired(attachments: Sequence[Attachment]) -> list[Attachment]:
    """The attachments that did not fire since they were attached."""
    return [attachment for attachment in attachments if not attachment.fired]


def warn_of_silence(root: NamedModel, attachments: Sequence[Attachment], *, backward_too: bool) -> None:
    """Warn of each hook at an exactly named point that never fired.

    :param backward_too: False if the backward pass may still come.
    """
    for silent in never_fired(attachments):
        if silent.exact and (backward_too or silent.direction == "fwd"):
            function = FunctionInfo.of(silent.user_hook)
            what = "caching hook" if silent.caches else f"hook {function}"
            known = explain_silence(root, silent, attachments)
            warn_user(f"the {silent.direction} {what} at {silent.label!r} never fired: {known}", HookDidNotFireWarning)


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
    order = {name: place for place, name in enumerate(root.hook_dict)}
    own = order.get(silent.label, -1)
    fired = [order.get(a.label, -1) for a in attachments if a.fired and a.direction == "fwd"]
    if not fired:
        return (
            "no other hook of this operation fired either: the model's forward does not call this point's module, "
            "stopped before it, or the model was not run"
        )
    if max(fired) > own:
        return (
            "hooks at later points did, so this point lies in a branch that was not taken, or its module is not called"
        )
    last = list(order)[max(fired)]
    return f"the last hook that did was at {last!r}: the model may have stopped there, or this point's module is not called"
