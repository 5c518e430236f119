"""Every error and warning hookframe raises; each has a stable, kebab-case ``code``.

::

    HookframeError
    ├── HookDenied               (PermissionError)        hook-denied
    ├── UnknownHookPoint         (KeyError, ValueError)   unknown-hook-point
    ├── InvalidDirection         (ValueError)             invalid-direction
    ├── InvalidNamesFilter       (ValueError)             invalid-names-filter
    ├── InvalidHookFunction      (TypeError)              invalid-hook-function
    ├── InvalidLoadingRules      (ValueError)             invalid-loading-rules
    ├── InvalidObjection         (ValueError)             invalid-objection
    ├── InvalidWireData          (ValueError)             invalid-wire-data
    ├── PolicyError              (ValueError)             policy
    ├── NotSetUp                 (RuntimeError)           not-set-up
    ├── NotAHookPoint            (TypeError)              not-a-hook-point
    ├── HookEffectError          (RuntimeError)           hook-effect
    ├── ActivationTypeError      (TypeError)              activation-type
    ├── HooksNotAdmitted         (RuntimeError)           hooks-not-admitted
    ├── GradientError            (RuntimeError)           gradient
    ├── ReplicaCacheError        (RuntimeError)           replica-cache
    ├── JournalError             (RuntimeError)           journal
    │   └── InvalidJournal       (ValueError)             invalid-journal
    ├── NestedAdmission          (RuntimeError)           nested-admission
    ├── ActivationShapeError     (ValueError)             activation-shape
    ├── CacheFileError           (ValueError)             cache-file
    ├── CacheTooLarge            (MemoryError)            cache-too-large
    ├── CaptureInputError        (ValueError)             capture-input
    ├── EstimateError            (RuntimeError)           estimate
    ├── ExportError              (RuntimeError)           export
    ├── HookReturnError          (TypeError, ValueError)  hook-return
    ├── InvalidPlan              (ValueError)             invalid-plan
    ├── UnknownActivation        (KeyError)               unknown-activation
    ├── CannotInstrument         (TypeError)              cannot-instrument
    ├── InstrumentReleased       (RuntimeError)           instrument-released
    ├── HookPointClosed          (RuntimeError)           hook-point-closed
    ├── HookPointMoved           (RuntimeError)           hook-point-moved
    ├── HooksLeaked              (RuntimeError)           hooks-leaked
    ├── NoopCheckFailed          (RuntimeError)           noop-check
    ├── UnknownFamily            (KeyError, ValueError)   unknown-family
    ├── FamilyConflict           (ValueError)             family-conflict
    ├── ModelNotLoaded           (ValueError)             model-not-loaded
    ├── MissingExtra             (ImportError)            missing-extra
    └── PluginError              (RuntimeError)           plugin
        ├── PluginRejected       (ValueError)             plugin-rejected
        └── PluginNameError      (ValueError)             plugin-name

    HookframeWarning (UserWarning)
    ├── EditNotRecomputedWarning                          edit-not-recomputed
    ├── HookDidNotFireWarning                             hook-did-not-fire
    ├── HookRecomputedWarning                             hook-recomputed
    ├── HooksExportedWarning                              hooks-exported
    ├── HooksLostWarning                                  hooks-lost
    ├── HookObjectionWarning                              hook-objection
    └── StaleActivationWarning                            stale-activation
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

__all__ = [
    "ActivationShapeError",
    "ActivationTypeError",
    "CacheFileError",
    "CacheTooLarge",
    "CannotInstrument",
    "CaptureInputError",
    "EditNotRecomputedWarning",
    "EstimateError",
    "ExportError",
    "FamilyConflict",
    "GradientError",
    "HookDenied",
    "HookDidNotFireWarning",
    "HookEffectError",
    "HookObjectionWarning",
    "HookPointClosed",
    "HookPointMoved",
    "HookRecomputedWarning",
    "HookReturnError",
    "HookframeError",
    "HookframeWarning",
    "HooksExportedWarning",
    "HooksLeaked",
    "HooksLostWarning",
    "HooksNotAdmitted",
    "InstrumentReleased",
    "InvalidDirection",
    "InvalidHookFunction",
    "InvalidJournal",
    "InvalidLoadingRules",
    "InvalidNamesFilter",
    "InvalidObjection",
    "InvalidPlan",
    "InvalidWireData",
    "JournalError",
    "MissingExtra",
    "ModelNotLoaded",
    "NestedAdmission",
    "NoopCheckFailed",
    "NotAHookPoint",
    "NotSetUp",
    "PluginError",
    "PluginNameError",
    "PluginRejected",
    "PolicyError",
    "ReplicaCacheError",
    "StaleActivationWarning",
    "UnknownActivation",
    "UnknownFamily",
    "UnknownHookPoint",
]


class HookframeError(Exception):
    """The root of every error that hookframe defines and raises."""

    code: ClassVar[str] = "hookframe"


class DescribedDecision(Protocol):
    """What an error needs of a :class:`~hookframe.admission.decision.Decision`, which is defined in a room above."""

    @property
    def denials(self) -> tuple[Any, ...]:
        """The objections that refuse the batch."""

    def describe(self) -> str:
        """What was decided, in words."""


class HookDenied(HookframeError, PermissionError):
    """An admission refused a batch; nothing of it was done.

    :ivar decision: the whole :class:`~hookframe.admission.decision.Decision`, with every objection, not just the first.
    """

    code = "hook-denied"

    def __init__(self, decision: DescribedDecision) -> None:
        super().__init__(decision.describe())
        self.decision = decision

    def __reduce__(self) -> tuple[type[HookDenied], tuple[DescribedDecision]]:
        return type(self), (self.decision,)


class UnknownHookPoint(HookframeError, KeyError, ValueError):
    """A hook point was asked for by a name that the model does not have."""

    code = "unknown-hook-point"

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print the repr of its message


class InvalidDirection(HookframeError, ValueError):
    """A direction other than the ones the call takes."""

    code = "invalid-direction"


class InvalidNamesFilter(HookframeError, ValueError):
    """A names filter that is no name, no collection of names, no predicate and not None."""

    code = "invalid-names-filter"


class InvalidHookFunction(HookframeError, TypeError):
    """Something that cannot be called was given as a hook function."""

    code = "invalid-hook-function"


class InvalidLoadingRules(HookframeError, ValueError):
    """Loading rules that cannot be read, or hold a key or value that is no rule; none of them is in force."""

    code = "invalid-loading-rules"


class InvalidObjection(HookframeError, ValueError):
    """An objection without a rule, message or remedy, or with an unknown action."""

    code = "invalid-objection"


class InvalidWireData(HookframeError, ValueError):
    """Data from another process or a file is not what it says it is."""

    code = "invalid-wire-data"


class PolicyError(HookframeError, ValueError):
    """A policy that cannot be read, or has mistakes.

    :ivar mistakes: all of them, each with its file and line.
    """

    code = "policy"

    def __init__(self, mistakes: Iterable[Any]) -> None:
        self.mistakes: tuple[Any, ...] = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))

    def __reduce__(self) -> tuple[type[PolicyError], tuple[tuple[Any, ...]]]:
        return type(self), (self.mistakes,)


class NotSetUp(HookframeError, RuntimeError):
    """A model was used before its ``setup()`` ran."""

    code = "not-set-up"


class NotAHookPoint(HookframeError, TypeError):
    """A name that belongs to a module that is no hook point."""

    code = "not-a-hook-point"


class HookEffectError(HookframeError, RuntimeError):
    """A function admitted to read an activation returned a value or changed it in place."""

    code = "hook-effect"


class ActivationTypeError(HookframeError, TypeError):
    """An activation of a kind that the operation cannot handle, such as a tuple in a cache."""

    code = "activation-type"


class HooksNotAdmitted(HookframeError, RuntimeError):
    """A hook point was copied or unpickled without its model, and carries hooks that no admission has seen."""

    code = "hooks-not-admitted"


class GradientError(HookframeError, RuntimeError):
    """There is no loss to compute gradients from, or in-place changes around a backward hook make a gradient uncertain."""

    code = "gradient"


class ReplicaCacheError(HookframeError, RuntimeError):
    """A replica of a model (``DataParallel``) reached a caching hook; replicas would overwrite each other's values."""

    code = "replica-cache"


class JournalError(HookframeError, RuntimeError):
    """The journal cannot be kept as asked: its file cannot be written, or a setting cannot be used.

    An observer raises it to say that a decision had to be recorded and could not be; the decision then refuses.
    """

    code = "journal"


class InvalidJournal(JournalError, ValueError):
    """A file that cannot be read, or is neither a journal nor a file of anchors."""

    code = "invalid-journal"


class NestedAdmission(HookframeError, RuntimeError):
    """A validator tried to attach a hook while it was deciding about one."""

    code = "nested-admission"


class ActivationShapeError(HookframeError, ValueError):
    """Cached activations differ in shape, dtype or device, and would have to agree."""

    code = "activation-shape"


class CacheFileError(HookframeError, ValueError):
    """A saved cache cannot be read or written: nothing was made of it, and nothing was changed."""

    code = "cache-file"


class CacheTooLarge(HookframeError, MemoryError):
    """Activations would need more bytes than ``max_bytes`` allows; nothing beyond them was kept."""

    code = "cache-too-large"


class CaptureInputError(HookframeError, ValueError):
    """Texts or a model for a capture cannot be read, or a directory holds a different capture."""

    code = "capture-input"


class EstimateError(HookframeError, RuntimeError):
    """The bytes of a run cannot be estimated without running it."""

    code = "estimate"


class ExportError(HookframeError, RuntimeError):
    """A program was to be exported from a model whose hooks cannot go into it; no program was made."""

    code = "export"


class HookReturnError(HookframeError, TypeError, ValueError):
    """A hook function returned something that cannot take the activation's place."""

    code = "hook-return"


class InvalidPlan(HookframeError, ValueError):
    """A plan of hooks that cannot be read, or does not fit the model; nothing was attached."""

    code = "invalid-plan"


class UnknownActivation(HookframeError, KeyError):
    """A cache was asked for an activation that it does not hold, or by a key that fits several."""

    code = "unknown-activation"

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print the repr of its message


class CannotInstrument(HookframeError, TypeError):
    """An object that cannot be given hook points from outside; it was left as it was."""

    code = "cannot-instrument"


class InstrumentReleased(HookframeError, RuntimeError):
    """An instrument was used after it was released; nothing was attached."""

    code = "instrument-released"


class HookPointClosed(HookframeError, RuntimeError):
    """A hook point that the model, as it is loaded or configured, cannot serve; nothing was attached."""

    code = "hook-point-closed"


class HookPointMoved(HookframeError, RuntimeError):
    """The module of a hook point was replaced while a function was attached there."""

    code = "hook-point-moved"


class HooksLeaked(HookframeError, RuntimeError):
    """A block left hooks on a model that were not there at its beginning; they are still attached.

    :ivar hooks: each of them, as :class:`~hookframe.inspecting.report.FoundHook`.
    """

    code = "hooks-leaked"

    def __init__(self, message: str, hooks: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.hooks = hooks


class NoopCheckFailed(HookframeError, RuntimeError):
    """A model computes something else while observers are attached, or cannot be compared with itself; no observer is attached.

    :ivar point: the hook point whose observer makes the difference; None if no single one does.
    :ivar reason: why, as far as it is known.
    """

    code = "noop-check"

    def __init__(self, message: str, *, point: str | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.point = point
        self.reason = reason


class FamilyConflict(HookframeError, ValueError):
    """Two plugins contradict each other about a model family: one name for two places."""

    code = "family-conflict"


class UnknownFamily(HookframeError, KeyError, ValueError):
    """A model family was asked for by a name that no plugin provides."""

    code = "unknown-family"

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print the repr of its message


class ModelNotLoaded(HookframeError, ValueError):
    """A model that was named on the command line could not be found, read or built."""

    code = "model-not-loaded"


class MissingExtra(HookframeError, ImportError):
    """Something was used that needs an extra of hookframe which is not installed; nothing was done.

    :ivar command: what installs it.
    """

    code = "missing-extra"

    def __init__(self, message: str, *, command: str = "") -> None:
        super().__init__(message)
        self.command = command


class PluginError(HookframeError, RuntimeError):
    """A plugin did something it may not do, or failed."""

    code = "plugin"


class PluginRejected(PluginError, ValueError):
    """A plugin cannot be registered; it was left out and nothing else changed."""

    code = "plugin-rejected"


class PluginNameError(PluginError, ValueError):
    """A name for a new plugin that cannot name a distribution and a package."""

    code = "plugin-name"


class HookframeWarning(UserWarning):
    """The root of every warning that hookframe issues."""

    code: ClassVar[str] = "hookframe"


class HookDidNotFireWarning(HookframeWarning):
    """A hook that was attached by its point's exact name never ran."""

    code = "hook-did-not-fire"


class HookObjectionWarning(HookframeWarning):
    """A request was admitted although a plugin or the policy objected, with the action ``warn``."""

    code = "hook-objection"


class StaleActivationWarning(HookframeWarning):
    """A cached tensor was changed in place after it was cached, so it no longer holds the value at fire time."""

    code = "stale-activation"


class HooksExportedWarning(HookframeWarning):
    """A program is exported from a model with hooks: their edits become a part of it, and nothing else that they do."""

    code = "hooks-exported"


class HooksLostWarning(HookframeWarning):
    """Hooks were on modules that are no longer in the model, so nothing calls them now."""

    code = "hooks-lost"


class HookRecomputedWarning(HookframeWarning):
    """A forward hook ran once more because a backward pass computed its activation a second time."""

    code = "hook-recomputed"


class EditNotRecomputedWarning(HookframeWarning):
    """A backward pass computed a part of the model a second time, and the edits there were not those of the forward pass.

    Edits were missing or new, or an input was changed in place once more, so the gradients are those of another model. With
    a reentrant checkpoint, a missing edit on which no gradient depends, such as adding a constant at the output of the
    checkpointed part, is reported as well.
    """

    code = "edit-not-recomputed"
