"""Which hooks never fired, and what is known of the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hookframe.admission.request import FunctionInfo
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.torch_compat.dynamo import _compiler
from hookframe.core.values.warn import warn_user
from hookframe.errors import HookDidNotFireWarning

if TYPE_CHECKING:
    from hookframe.core.model.named_model import NamedModel

__all__ = ["all_silent", "explain_silence", "silent_hooks", "warn_of_silence"]

_GATES = {  # last part of a point's name → the config flag without which it never fires (TransformerLens's names)
    "hook_result": "use_attn_result",
    "hook_q_input": "use_split_qkv_input",
    "hook_k_input": "use_split_qkv_input",
    "hook_v_input": "use_split_qkv_input",
    "hook_mlp_in": "use_hook_mlp_in",
    "hook_attn_in": "use_attn_in",
}


def silent_hooks(attachments: Sequence[Attachment], *, backward_too: bool) -> list[Attachment]:
    """The hooks at exactly named points that never fired since they were attached.

    :param backward_too: False if the backward pass may still come.
    """
    return [a for a in attachments if not a.has_fired and a.exact and (backward_too or a.direction == "fwd")]


def all_silent(attachments: Sequence[Attachment], *, backward_too: bool) -> list[Attachment]:
    """The hooks, whose points filters chose, if none of them fired since they were attached; else an empty list.

    :param backward_too: False if the backward pass may still come.
    """
    if any(attachment.has_fired for attachment in attachments):
        return []
    return [attachment for attachment in attachments if backward_too or attachment.direction == "fwd"]


def warn_of_silence(
    root: NamedModel | None,
    silent: Sequence[Attachment],
    attachments: Sequence[Attachment],
    warn: Callable[[str, type[Warning]], None] = warn_user,
) -> None:
    """Warn of ``silent`` hooks, with what is known of why: of each one asked for by name, and once for all swept up."""
    swept = [attachment for attachment in silent if not attachment.exact]
    for attachment in [*(a for a in silent if a.exact), *swept[:1]]:
        function = FunctionInfo.of(attachment.user_hook)
        what = "caching hook" if attachment.caches else f"hook {function}"
        which = f"the {attachment.direction} {what} at {attachment.shown_name!r}"
        if attachment.exact:
            text = f"{which} never fired"
        else:
            text = f"none of the {len(swept)} hooks at points that a filter chose fired, {which} for one"
        warn(f"{text}: {explain_silence(root, attachment, attachments)}", HookDidNotFireWarning)


def explain_silence(root: Any, silent: Attachment, attachments: Sequence[Attachment]) -> str:
    """Say what is known about why a hook did not fire, from the model's flags and from the hooks that did."""
    flag = _GATES.get(silent.shown_name.rpartition(".")[2])
    config = getattr(root, "cfg", None)
    if flag is not None and getattr(config, flag, None) is False:
        return f"the point is gated, and cfg.{flag} is off: turn it on"
    if silent.direction == "bwd":
        return (
            "no gradient reached it: call backward() on an output of a forward that was run while the hook was attached, "
            "and check that something before the point requires a gradient"
        )
    known = silent.point.why_silent()
    if known is not None:
        return known
    order = {name: place for place, name in enumerate(root.hook_dict)}
    own = order.get(silent.shown_name, -1)
    fired = [order.get(a.shown_name, -1) for a in attachments if a.has_fired and a.direction == "fwd"]
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
