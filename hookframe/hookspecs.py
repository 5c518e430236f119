"""Every extension point of hookframe: the reference for plugin authors.

A plugin is a module (or an object) with functions named as below and marked ``@hookimpl``. An implementation takes the
arguments that it wants, by name, and leaves the others out.

- **Validators** (``hookframe_check_*``) answer with objections. All of them are asked, whatever the others said; the
  answer does not depend on the order. One that raises, or returns something else, refuses under its plugin's name.
- **Observers** are told what happened. What they return is ignored; what they raise is logged with the plugin's name and
  counted, and after :data:`~hookframe.host.running.guard.TRIP_AFTER` failures in a row the observer is left out.
- **Providers** give something: a wrapper around one function, a command, a model family.

None of them is called while a model runs forward or backward, except a function that ``hookframe_wrap_hook`` returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

import pluggy

from hookframe.admission.events import Event
from hookframe.admission.request import Request

if TYPE_CHECKING:
    import click

    from hookframe.admission.decision import Decision
    from hookframe.admission.events import (
        CacheFinished,
        CacheStarted,
        ContextEntered,
        ContextExited,
        HookFailed,
        HooksAdded,
        HooksRemoved,
        HooksReset,
        RunFinished,
    )
    from hookframe.admission.objection import Objection
    from hookframe.admission.request import CacheRequest, DeviceRequest, HookRequest, ResetRequest, RunRequest

    Objections = Iterable[Objection] | Objection | None

__all__ = ["OBSERVERS", "PREFIX", "PROVIDERS", "VALIDATORS", "PluginConfig", "hookimpl", "hookspec"]

PREFIX = "hookframe_"
hookspec = pluggy.HookspecMarker("hookframe")
hookimpl = pluggy.HookimplMarker("hookframe")
"""Marks a function of a plugin as the implementation of the spec with the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginConfig:
    """What a plugin is told when it is loaded.

    :ivar plugin: the name under which it is registered.
    :ivar options: the operator's options for this plugin.
    """

    plugin: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


# ---- validators -----------------------------------------------------------------------------------------------------


@hookspec
def hookframe_check_hooks_to_add(requests: Sequence[HookRequest], model: Any) -> Objections:
    """Called once for each operation that attaches hooks, with the whole batch, before anything is attached.

    :param requests: one for each planned attachment, in order.
    :param model: the model, or None for a hook point that belongs to none. An implementation that does not take it is
        pure: hookframe can ask it again, later and elsewhere, about recorded requests.
    :returns: objections to any of the requests, or None. ``deny`` refuses the whole batch; ``skip`` leaves out a point
        that a filter swept up.
    """


@hookspec
def hookframe_check_cache(request: CacheRequest, model: Any) -> Objections:
    """Called before caching hooks are attached, with all that is about to be cached.

    :returns: objections, or None. An objection made with :meth:`Objection.warn` and a ``device`` lets tensors be stored there instead.
    """


@hookspec
def hookframe_check_device(request: DeviceRequest, model: Any) -> Objections:
    """Called when a device was chosen: a model is about to be moved there, or a cache about to be kept there.

    :returns: objections, or None. An objection made with :meth:`Objection.warn` and a ``device`` replaces the chosen one.
    """


@hookspec
def hookframe_check_reset(request: ResetRequest, model: Any) -> Objections:
    """Called before a removal that touches permanent hooks, or hooks that an open context holds.

    A handle's own ``remove()`` and the end of a context are not asked about: they remove what is theirs.

    :returns: objections, or None; a refusal leaves all hooks in place.
    """


@hookspec
def hookframe_check_run(request: RunRequest, model: Any) -> Objections:
    """Called after an operation ran the model and its hooks are off again, unless an exception ended it.

    :returns: objections, or None. A refusal raises instead of returning the operation's result: no hook is left
        attached, but the model has run.
    """


# ---- observers ------------------------------------------------------------------------------------------------------


@hookspec
def hookframe_decision_made(decision: Decision) -> None:
    """Called after each decision, refusals included, before anything follows from it.

    An implementation that raises :class:`~hookframe.errors.JournalError` says that the decision had to be recorded and
    could not be: a decision that allowed then refuses, under the rule ``audit-required``. It does not count as a failure.
    """


@hookspec
def hookframe_hooks_added(event: HooksAdded) -> None:
    """Called after a batch was attached."""


@hookspec
def hookframe_hooks_removed(event: HooksRemoved) -> None:
    """Called after hooks were removed by handle, by ``remove_hooks`` or by the end of their context."""


@hookspec
def hookframe_hooks_reset(event: HooksReset) -> None:
    """Called after ``reset_hooks`` or ``remove_all_hook_fns``."""


@hookspec
def hookframe_context_entered(event: ContextEntered) -> None:
    """Called after a context of temporary hooks was entered."""


@hookspec
def hookframe_context_exited(event: ContextExited) -> None:
    """Called after a context of temporary hooks ended, also by an exception."""


@hookspec
def hookframe_cache_started(event: CacheStarted) -> None:
    """Called after caching hooks were attached; what runs now fills the cache."""


@hookspec
def hookframe_cache_finished(event: CacheFinished) -> None:
    """Called when an operation that cached is over."""


@hookspec
def hookframe_run_finished(event: RunFinished) -> None:
    """Called when an operation that ran the model is over, with the counts for each of its hooks.

    It is called again, with ``event.late``, after each backward pass that fires backward hooks of an operation that is over.
    """


@hookspec
def hookframe_hook_failed(event: HookFailed) -> None:
    """Called after a user's hook function raised, once the model is no longer running."""


# ---- providers ------------------------------------------------------------------------------------------------------


@hookspec(historic=True)
def hookframe_configure(config: PluginConfig) -> None:
    """Called when the plugin is registered, before any other of its implementations; and again if its options change.

    What the plugin implements is read again afterwards: an object that has nothing to do takes its implementations away,
    and costs nothing.
    """


@hookspec
def hookframe_wrap_hook(request: HookRequest, hook: Callable[..., Any]) -> Callable[..., Any] | None:
    """Called for each admitted hook, except caching hooks and torch's own, before it is attached.

    :param hook: the user's function, or what another plugin made of it.
    :returns: a function to run in its place, with the same arguments, or None to leave it. It runs during forward and
        backward passes. An implementation that raises, or returns something that cannot be called, refuses the batch.
    """


@hookspec
def hookframe_model_families() -> Iterable[Any] | None:
    """Called when families of models are looked up.

    :returns: the families that the plugin knows: objects with a ``name`` and ``matches(model)``, as
        :class:`~hookframe.admission.family.ModelFamily` says.
    """


@hookspec
def hookframe_add_commands(registry: click.Group) -> None:
    """Called when the ``hookframe`` command is given a verb that is not built in; add click commands to ``registry``."""


VALIDATORS: tuple[str, ...] = tuple(kind.spec for kind in get_args(Request))
"""Names of the validators, without the prefix."""
OBSERVERS: tuple[str, ...] = ("decision_made", *(kind.kind for kind in get_args(Event)))
"""Names of the observers, without the prefix."""
PROVIDERS = ("configure", "wrap_hook", "model_families", "add_commands")
"""Names of the providers, without the prefix."""
