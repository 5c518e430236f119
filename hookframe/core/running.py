"""The verbs that run a model with temporary hooks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from torch.compiler import is_dynamo_compiling, is_exporting
from torch.jit import is_tracing  # type: ignore[attr-defined]  # torch does not list it

from hookframe.core.asking import specifications_of
from hookframe.core.context import HookContext
from hookframe.core.exporting import review_export
from hookframe.core.failures import tell_failures
from hookframe.core.kept_points import KeptPoints
from hookframe.core.keywords import review_keywords
from hookframe.core.named_model import NamedModel
from hookframe.core.scope import ScopeName
from hookframe.core.tracing import begun_in_what_it_calls, compiles_around, never_compiled, run_while_traced

if TYPE_CHECKING:
    from hookframe.core.types import HookSpecification

__all__ = ["RunningVerbs"]

logger = logging.getLogger("hookframe")


class RunningVerbs(NamedModel):
    """``hooks``, ``run_with_hooks``, and the call itself."""

    def hooks(
        self,
        fwd_hooks: Iterable[HookSpecification] = (),
        bwd_hooks: Iterable[HookSpecification] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        *,
        scope: ScopeName | None = None,
    ) -> HookContext[Self]:
        """A context manager with temporary hooks; it yields the model.

        :param fwd_hooks: pairs of a name, a glob or a predicate on names, and a function. A name or glob that means no point
            is an error; a predicate that accepts none is logged alone.
        :param bwd_hooks: the same for gradients; they listen to the forwards run inside.
        :param reset_hooks_end: remove these hooks, and no others, on the way out, also after an exception.
        :param clear_contexts: empty the ``ctx`` of every point on the way out.
        :param scope: ``"context"``: the functions fire only for forwards run by the thread or asyncio task that entered,
            and for the gradients of these forwards; ``"all"``: for whoever runs the model meanwhile. None: as the policy
            says it (``settings.scope``), else ``"all"``.
        :raises HookDenied: on entering, if the admission refuses; nothing was attached.
        :raises NotSetUp: on entering, if ``setup()`` was never called.
        """
        return HookContext(
            self,
            fwd_hooks,
            bwd_hooks,
            reset_hooks_end=reset_hooks_end,
            clear_contexts=clear_contexts,
            route="hooks",
            scope=scope,
        )

    def run_with_hooks(
        self,
        *model_args: Any,
        fwd_hooks: Iterable[HookSpecification] = (),
        bwd_hooks: Iterable[HookSpecification] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        scope: ScopeName | None = None,
        **model_kwargs: Any,
    ) -> Any:
        """Run the model with temporary hooks and return its output; the parameters are those of :meth:`hooks`.

        The hooks are off when it returns. With activation checkpointing, a backward pass after that would compute without
        their edits, and warns (``EditNotRecomputedWarning``): call ``backward()`` inside of ``with model.hooks(...)`` there.

        :raises HookDenied: if the admission refuses; the model was not run.
        :raises TypeError: if one of ``model_kwargs`` that ``forward`` does not name is an option of another verb, or nearly
            one of these; the model was not run.
        """
        if model_kwargs:
            review_keywords(self, "run_with_hooks", model_kwargs)
        specifications = specifications_of(fwd_hooks, bwd_hooks)
        if reset_hooks_end and specifications[1][1]:
            logger.warning(
                "run_with_hooks removes the backward hooks at its end, before a backward pass outside can reach them: "
                "pass reset_hooks_end=False, or call backward() inside 'with model.hooks(...)'"
            )
        context = HookContext(
            self,
            specifications[0][1],
            specifications[1][1],
            reset_hooks_end=reset_hooks_end,
            clear_contexts=clear_contexts,
            route="run_with_hooks",
            scope=scope,
            specifications=specifications,
        )
        with context:
            return self.run_at_once(model_args, model_kwargs)

    @begun_in_what_it_calls
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model, as any torch module."""
        if is_dynamo_compiling():
            if is_exporting():
                self.look_at_export()
            else:
                self.__dict__["_ran"] = True
            if _calls_torch(type(self)):
                call: Any = nn.Module._call_impl  # super() would be a look at each of our classes in each run
                return call(self, *args, **kwargs)
            return super().__call__(*args, **kwargs)
        own = self.__dict__
        own["_ran"] = True
        if not own["context_level"]:  # else the context has looked
            self._look_at_tree(compiles_around())
        if is_exporting() or _tracing_state() is not None:
            self.look_at_export()
        try:
            return super().__call__(*args, **kwargs)
        except BaseException:
            self._tell_failures()
            raise

    @never_compiled
    def _look_at_tree(self, compiles: object) -> None:
        tree: KeptPoints | None = self.__dict__.get("_tree")
        # compiled code looks at the modules itself: what it does not know is that a new point has no name
        if tree is not None and not (tree.has_no_new_point() if compiles else tree.is_current()):
            self.refresh()

    @never_compiled
    @run_while_traced
    def look_at_export(self) -> None:
        """Say what becomes of the hooks of this model in a program that is exported from it, if that is what happens.

        :raises ExportError: if a caching hook would store placeholders.
        """
        if (is_exporting() or is_tracing()) and "hook_dict" in self.__dict__:  # type: ignore[no-untyped-call]
            review_export([a for point in self.hook_points() for a in point.fitting("both", True, None)])

    @never_compiled
    def _tell_failures(self) -> None:
        if _runs_inside_another():
            return
        if "hook_dict" in self.__dict__ and self.controller.wants("hook_failed"):
            tell_failures(self, [a for point in self.hook_points() for a in point.fitting("both", True, None)])


_TORCHS = (nn.Module.__call__, nn.Module._call_impl)
_tracing_state: Callable[[], object] = (
    torch._C._get_tracing_state
)  # as torch's own modules ask, each time one is called


def _runs_inside_another() -> bool:
    """True if another model is still running around the one that calls this: looked up only when a run has failed."""
    code, found = RunningVerbs.__call__.__code__, 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and found < 2:
        found += frame.f_code is code
        frame = frame.f_back
    return found == 2


@run_while_traced
def _calls_torch(kind: type[RunningVerbs]) -> bool:
    """True if what the call above goes on to is torch's, which nobody has overridden or exchanged."""
    return (super(RunningVerbs, kind).__call__, kind._call_impl) == _TORCHS
