"""Hooks that a block of code leaves behind: an error that names each with its function's file and line."""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Self

from torch import nn

from hookframe.core.hooks.attachment import Attachment
from hookframe.errors import HooksLeaked
from hookframe.inspecting.points import all_points
from hookframe.inspecting.report import FoundHook
from hookframe.inspecting.torch_hooks import global_hooks, hooks_on_module, registration_hooks, state_dict_hooks

__all__ = ["no_leaks"]


class no_leaks:  # noqa: N801  # read as a verb: with hookframe.no_leaks(model)
    """A context manager that raises if a hook is on ``model`` at its end that was not there at its beginning.

    All kinds count: functions at hook points, those of contexts that were never left and permanent ones too, torch's own
    hooks on modules, on their parameters and on their state dicts, and torch's hooks for all modules, including those
    that torch calls when something is put into a module. Hooks that another thread attaches meanwhile count as well.
    Hooks that went away are not reported; nor are those on other tensors than parameters, such as buffers, and those
    on optimizers.

    If the block raises, its exception goes on, with a note of what was left behind.

    :param model: any torch module; one with hook points, instrumented or not.
    :raises HooksLeaked: at the end; the hooks are still there.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._attached: dict[int, Attachment] = {}
        self._registered: Counter[FoundHook] = Counter()

    def __enter__(self) -> Self:
        self._attached, self._registered = attached(self.model), registered(self.model)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self.left_behind()
        if not left:
            return
        text = "\n".join(
            [
                f"{len(left)} hooks were left behind on this {type(self.model).__name__}:",
                *(f"  - {each}" for each in left),
                "remove each by its handle, or attach them in 'with model.hooks(...)', which takes its own hooks off",
            ]
        )
        if error is None:
            raise HooksLeaked(text, left)
        error.add_note(text)

    def left_behind(self) -> tuple[FoundHook, ...]:
        """The hooks that are on the model now and were not when the block began; those of hook points first."""
        new = [hook for key, hook in attached(self.model).items() if key not in self._attached]
        past = registered(self.model) - self._registered
        return (*(FoundHook.of(attachment, attachment.shown_name) for attachment in new), *past.elements())


def attached(model: nn.Module) -> dict[int, Attachment]:
    """What the points of ``model`` run, by identity; the values keep the identities from being used again."""
    handles = (handle for point in all_points(model) for handle in (*point.fwd_hooks, *point.bwd_hooks))
    return {id(handle.hook): handle.hook for handle in handles}


def registered(model: nn.Module) -> Counter[FoundHook]:
    """The hooks that are torch's own: on the modules of ``model``, their parameters and state dicts, and on all modules."""
    kinds = (hooks_on_module, state_dict_hooks)
    there = (hook for name, module in model.named_modules() for of_kind in kinds for hook in of_kind(name, module))
    return Counter([*there, *global_hooks(), *registration_hooks()])
