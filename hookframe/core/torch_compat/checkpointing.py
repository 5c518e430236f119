"""Forward hooks that run once more in a backward pass, because of activation checkpointing.

The backward pass computes a checkpointed part of a model a second time, with the hooks that are attached by then. If
edits are missing, or new, the gradients are those of another model, and torch does not say so. So each checkpointed part
in which a hook edits remembers its edits, and compares them with those of the second time.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, MethodType
from typing import TYPE_CHECKING, Any

import torch
import torch.utils.checkpoint as torch_checkpoint
from torch import is_grad_enabled, is_inference_mode_enabled
from torch._C import _current_graph_task_id, _is_fwd_grad_enabled

from hookframe.admission.listing import listed
from hookframe.admission.request import FunctionInfo
from hookframe.core.values.scope import open_scopes, seeing
from hookframe.core.values.warn import warn_user
from hookframe.errors import EditNotRecomputedWarning, HookRecomputedWarning

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Attached

__all__ = ["look_for_recomputing", "may_be_checkpointed", "note_edit"]

_NONE = -1
_TORCH_FILE = torch_checkpoint.checkpoint_sequential.__code__.co_filename
_Stopped: type[BaseException] = torch_checkpoint._StopRecomputationError  # ends a recomputation that has all it needs
_saved_tensor_hooks: Callable[[bool], object] = getattr(
    torch._C._autograd, "_top_saved_tensors_default_hooks", lambda _: ()
)  # an older torch has none: each edit with gradients then searches the stack


def look_for_recomputing(attachment: Attached) -> None:
    """Warn, once for its function, if ``attachment`` runs again because a backward pass computes its activation a second time.

    For functions that returned nothing: one that returns a tensor has to run twice, and a caching hook may.
    """
    if attachment.options.recomputed or _current_graph_task_id() == _NONE:
        return
    attachment.options.recomputed = True
    warn_user(
        f"the fwd hook {FunctionInfo.of(attachment.user_hook)} at {attachment.shown_name!r} ran again while a backward pass "
        "computed the activation a second time (activation checkpointing): what it counts or collects is there twice: "
        "keep what it sees by its name, as a cache does, or run without checkpointing",
        HookRecomputedWarning,
    )


def may_be_checkpointed() -> bool:
    """False if no checkpointed part is running or being recomputed: the only check that edits elsewhere pay for.

    A non-reentrant part listens to the tensors that autograd saves. A reentrant one is an autograd function, in which,
    unlike under ``torch.no_grad()``, forward-mode gradients are off as well.
    """
    if is_grad_enabled():
        return _saved_tensor_hooks(False) is not None or _current_graph_task_id() != _NONE
    return not (_is_fwd_grad_enabled() or is_inference_mode_enabled())


def note_edit(attachment: Attached, *, same: bool = False) -> None:
    """Record an edit by ``attachment`` in each checkpointed part that is running or being recomputed.

    :param same: True if it returned the very tensor that it got, which it may have changed in place.
    """
    edit, innermost = _Edit(attachment, same), True
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code is _AGAIN:
            frame.f_locals["again"].append(edit)
            return
        if code.co_filename == _TORCH_FILE:
            if _computes_again(frame):
                _warn_of_added([edit])
                return
            part = _part_of(frame)
            if part is not None:
                part.note(edit, innermost=innermost)
                innermost = False
        frame = frame.f_back
    part = _listening_part() if innermost else None
    if part is not None:
        part.note(edit, innermost=True)


def _computes_again(frame: FrameType) -> bool:
    """True for a frame in which torch recomputes a part that had no edits before."""
    name, caller = frame.f_code.co_name, frame.f_back
    return name == "backward" or (name == "recompute_fn" and caller is not None and caller.f_code is not _AGAIN)


def _part_of(frame: FrameType) -> _Part | None:
    """The checkpointed part that runs in ``frame``; None if none does."""
    name, found = frame.f_code.co_name, frame.f_locals
    if name == "forward":
        return _remembering(found.get("ctx"), "run_function")
    waiting = getattr(found.get("gen"), "gi_frame", None) if name == "checkpoint" else None
    return None if waiting is None else _remembering(waiting.f_locals.get("new_frame"), "recompute_fn")


def _listening_part() -> _Part | None:
    """The same if torch runs the part without a frame of its own: found through its hooks on saved tensors."""
    hooks: Any = _saved_tensor_hooks(False)
    listener: Any = hooks[0] if hooks else None
    code = getattr(listener, "__code__", None)
    if code is None or code.co_filename != _TORCH_FILE or "frame" not in code.co_freevars:
        return None
    return _remembering(listener.__closure__[code.co_freevars.index("frame")].cell_contents, "recompute_fn")


def _remembering(holder: Any, attribute: str) -> _Part | None:
    """Wrap the function that torch will call to recompute in a part, unless it is one already."""
    function = getattr(holder, attribute, None)
    if function is None or isinstance(function, _Part):
        return function
    part = _Part(function, getattr(holder, "weak_holders", None))
    setattr(holder, attribute, part)
    return part


class _Edit:
    """A function that returned something at a point; edits with the same ``key`` share both.

    :ivar same: True if it returned the tensor that it got.
    """

    __slots__ = ("function", "key", "label", "point", "same")

    def __init__(self, attachment: Attached, same: bool) -> None:
        self.same = same
        self.point = attachment.point
        self.function = attachment.user_hook
        self.label = attachment.shown_name
        self.key = (id(self.point), *_identity(self.function))

    @property
    def attached(self) -> bool:
        """True if the function is attached at the point now, in the caller's scopes."""
        there = [a for a in self.point.fitting("fwd", True, None) if a.scope is None or a.scope.active]
        own = self.key[1:]
        return any(_identity(attachment.user_hook) == own for attachment in there)


def _identity(function: Any) -> tuple[int, ...]:
    if isinstance(function, MethodType):  # a new object on each look-up
        return id(function.__self__), id(function.__func__)
    return (id(function),)


class _Part:
    """A checkpointed part of a model: torch calls it to recompute the part.

    :ivar edits: its edits while the model ran forward, in order.
    :ivar saved: one item for each tensor that it saves for the backward pass; None if it saves none itself.
    """

    __slots__ = ("_saved_before", "edits", "function", "saved", "scopes")

    def __init__(self, function: Callable[..., Any], saved: Sequence[object] | None) -> None:
        self.function = function
        self.saved = saved
        self.edits: list[_Edit] = []
        self._saved_before: list[int] = []
        self.scopes = open_scopes()  # autograd may recompute it in a thread of its own

    def note(self, edit: _Edit, *, innermost: bool) -> None:
        """Record an edit, made in this part or, if not ``innermost``, in a part inside it."""
        self.edits.append(edit)
        self._saved_before.append(len(self.saved) if innermost and self.saved is not None else -1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Recompute the part, and warn if its edits differ from those before."""
        again: list[_Edit] = []
        inputs = [arg for arg in args if isinstance(arg, torch.Tensor)]
        versions = [tensor._version for tensor in inputs]
        with seeing(self.scopes):
            result, stopped = None, False
            try:
                result = self.function(*args, **kwargs)
            except _Stopped:
                stopped = True
            self._compare(again, whole=not stopped)
        in_place = [edit for edit in again if edit.same]
        if in_place and versions != [tensor._version for tensor in inputs]:
            _warn_of_twice(in_place)
        if stopped:
            raise _Stopped
        return result

    def _mattering(self) -> Iterator[_Edit]:
        """The edits after which a tensor was saved: torch recomputes nothing behind the last saved tensor."""
        saved = -1 if self.saved is None else len(self.saved)
        return (e for e, before in zip(self.edits, self._saved_before, strict=True) if before == -1 or before < saved)

    def _compare(self, again: Sequence[_Edit], *, whole: bool) -> None:
        before, now = [edit.key for edit in self.edits], [edit.key for edit in again]
        gone = [
            edit for edit in self._mattering() if now.count(edit.key) < before.count(edit.key) and not edit.attached
        ]
        added = [edit for edit in again if edit.key not in before]
        if gone:
            _warn_of_gone(gone)
        if added:
            _warn_of_added(added)
        known = [key for key in now if key in before]
        if not gone and (known != before if whole else known != before[: len(known)]):
            _warn_of_others(self.edits)


_AGAIN = _Part.__call__.__code__


def _warn_of_gone(edits: Sequence[_Edit]) -> None:
    what = "the model ran forward with {}, and the hooks were off when"
    _warn(edits, what, "call backward() inside of 'with model.hooks(...)', or attach them with add_hook")


def _warn_of_added(edits: Sequence[_Edit]) -> None:
    what = "the model ran forward without {}, and the hooks were on when"
    _warn(edits, what, "attach them before the model runs, and keep them until backward() is over")


def _warn_of_others(edits: Sequence[_Edit]) -> None:
    _warn(edits, "not all of {} were made again, or in another order, when", "let each hook do the same each time")


def _warn_of_twice(edits: Sequence[_Edit]) -> None:
    what = "{} changed an input of a part of the model in place, and once more when"
    _warn(edits, what, "return a new tensor: tensor * 2, not tensor.mul_(2)")


class _Told(threading.local):
    """The functions that a thread's backward pass has warned about: each layer may be a checkpointed part."""

    def __init__(self) -> None:
        self.task = _NONE
        self.functions: set[tuple[int, ...]] = set()


_told = _Told()


def _untold(edits: Sequence[_Edit]) -> list[_Edit]:
    task = _current_graph_task_id()
    if task == _NONE or task != _told.task:
        _told.task, _told.functions = task, set()
    new = {edit.key: edit for edit in edits if edit.key[1:] not in _told.functions}
    _told.functions.update(key[1:] for key in new)
    return list(new.values())


def _warn(edits: Sequence[_Edit], what: str, remedy: str) -> None:
    different = _untold(edits)
    if not different:
        return
    named = listed((f"{FunctionInfo.of(edit.function)} at {edit.label!r}" for edit in different), 3)
    warn_user(
        f"{what.format(f'the edits by {named}')} the backward pass computed that part of it a second time (activation "
        f"checkpointing): the gradients are those of another model: {remedy}; or run without checkpointing",
        EditNotRecomputedWarning,
    )
