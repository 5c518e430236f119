"""Hooks that a block of code leaves behind: an error that names each with its function's file and line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from torch import nn

from hookframe.core.hooks.attachment import Attachment
from hookframe.core.model.hook_point import HookPoint
from hookframe.errors import HooksLeaked
from hookframe.instrumenting.module_point import points_on
from hookframe.scanning.functions import located
from hookframe.scanning.outside_passes import registration_hooks, state_dict_hooks
from hookframe.scanning.past_admission import global_hooks, hooks_on_module
from hookframe.scanning.report import FoundHook

__all__ = ["no_leaks"]


class no_leaks:  # noqa: N801  # read as a verb: with hookframe.no_leaks(model)
    """A context manager that raises if a hook is on ``model`` at its end that was not there at its beginning.

    All kinds count: functions at hook points, those of contexts that were never left and permanent ones too, torch's own
    hooks on modules, on their parameters and on their state dicts, and torch's hooks for all modules, those on what is put
    into modules among them. Hooks that another thread attaches meanwhile count as well. Hooks that went away are not
    reported; nor are those on other tensors than parameters, such as buffers, and those on optimizers.

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
        return (*map(_found, new), *past.elements())


def attached(model: nn.Module) -> dict[int, Attachment]:
    """What the points of ``model`` run, by identity; the values keep the identities from being used again."""
    handles = (handle for point in _points(model) for handle in (*point.fwd_hooks, *point.bwd_hooks))
    return {id(handle.hook): handle.hook for handle in handles}


def registered(model: nn.Module) -> Counter[FoundHook]:
    """The hooks that are torch's own: on the modules of ``model``, their parameters and state dicts, and on all modules."""
    kinds = (hooks_on_module, state_dict_hooks)
    there = (hook for name, module in model.named_modules() for of_kind in kinds for hook in of_kind(name, module))
    return Counter([*there, *global_hooks(), *registration_hooks()])


def _points(model: nn.Module) -> Iterator[HookPoint]:
    """The points that ``model`` knows, those that are its modules, and those that an instrument has put around them."""
    known = getattr(model, "hook_dict", {}).values()
    points = {id(point): point for point in known if isinstance(point, HookPoint)}
    for module in model.modules():
        found = [module] if isinstance(module, HookPoint) else points_on(module)
        points.update((id(point), point) for point in found)
    yield from points.values()


def _found(attachment: Attachment) -> FoundHook:
    return FoundHook(
        place=attachment.shown_name,
        kind="caching hook" if attachment.caches else "hook",
        function=located(attachment.user_hook),
        direction=attachment.direction,
        permanent=attachment.handle.is_permanent,
        fired=attachment.fired,
    )
