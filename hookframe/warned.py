"""Every warning that hookframe issues; the tree is drawn in :mod:`hookframe.errors`, which has them too."""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "EditNotRecomputedWarning",
    "HookDidNotFireWarning",
    "HookObjectionWarning",
    "HookRecomputedWarning",
    "HookframeWarning",
    "HooksExportedWarning",
    "HooksLostWarning",
    "StaleActivationWarning",
]


class HookframeWarning(UserWarning):
    """The root of every warning that hookframe issues."""

    code: ClassVar[str] = "hookframe"


class HookDidNotFireWarning(HookframeWarning):
    """A hook that was attached by its point's exact name never ran."""

    code = "hook-did-not-fire"


class HookObjectionWarning(HookframeWarning):
    """A request was admitted although somebody objected with the action ``warn``."""

    code = "hook-objection"


class StaleActivationWarning(HookframeWarning):
    """A cached tensor was changed in place after it was cached, so it no longer holds the value at fire time."""

    code = "stale-activation"


class HooksExportedWarning(HookframeWarning):
    """A program is exported from a model with hooks: their edits are baked in, and nothing else of them is."""

    code = "hooks-exported"


class HooksLostWarning(HookframeWarning):
    """Hooks were on modules that are no longer in the model, so that nothing calls them."""

    code = "hooks-lost"


class HookRecomputedWarning(HookframeWarning):
    """A forward hook ran once more because a backward pass computed its activation a second time."""

    code = "hook-recomputed"


class EditNotRecomputedWarning(HookframeWarning):
    """A backward pass computed a part of the model a second time, and the edits there were not those of the forward pass.

    So the gradients are those of another model; except that, with a reentrant checkpoint, an edit on which they do not
    depend, such as adding a constant at the output of the checkpointed part, is reported as well.
    """

    code = "edit-not-recomputed"
