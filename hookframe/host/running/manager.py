"""The plugin manager: the admission controller that asks the plugins it holds, and tells them."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from packaging.utils import canonicalize_name

from hookframe.admission.controller import ScopeName
from hookframe.admission.decision import Decision
from hookframe.admission.events import Event
from hookframe.admission.objection import Objection
from hookframe.admission.request import CacheRequest, DeviceRequest, HookRequest, Request, ResetRequest, RunRequest
from hookframe.errors import HookDenied, JournalError, NestedAdmission
from hookframe.hookspecs import VALIDATORS
from hookframe.host.installed.plugin_choice import PluginChoice
from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.installed.required import denials, unfulfilled
from hookframe.host.installed.rules import LoadingRules
from hookframe.host.running.holding import HeldPlugins
from hookframe.host.running.loading import load_installed
from hookframe.host.running.treatment import Treatment

__all__ = ["PluginManager", "is_considering"]

_considering: contextvars.ContextVar[bool] = contextvars.ContextVar("hookframe_considering", default=False)
_deciding: contextvars.ContextVar[str | None] = contextvars.ContextVar("hookframe_deciding", default=None)


def is_considering() -> bool:
    """True while validators are asked what they would say, and nothing follows from their answers."""
    return _considering.get()


class PluginManager(HeldPlugins):
    """Holds plugins, and decides by asking them.

    :param plugins: modules or objects with implementations, registered in order.
    :param options: plugin name → the options that it is configured with.
    :param treatments: plugin name → how the operator wants it treated.
    :ivar default_scope: the scope of a context that names none; the policy may say ``"context"``.
    """

    def __init__(
        self,
        *plugins: object,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        treatments: Mapping[str, Treatment] | None = None,
    ) -> None:
        self._rules = LoadingRules()
        self._refusals: tuple[PluginRecord, ...] = ()
        self._demands = False  # there is something to refuse, or there may be
        self._quiet = True  # no plugin reviews hooks or hears of decisions
        self.default_scope: ScopeName = "all"
        super().__init__(*plugins, options=options, treatments=treatments)

    @classmethod
    def installed(
        cls,
        *,
        rules: LoadingRules | None = None,
        without: Collection[str] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        treatments: Mapping[str, Treatment] | None = None,
        only: str | None = None,
    ) -> PluginManager:
        """A manager with every installed plugin that may load.

        A plugin that fails to load is recorded with its reason and left out. Without a plugin that the rules require,
        the manager refuses everything that it is asked about.

        :param rules: which plugins may load, and which must; all may and none must if None.
        :param without: names of distributions to leave out, as ``HOOKFRAME_PLUGINS`` does; a required plugin that the
            user leaves out counts as missing.
        :param only: load only this distribution, if it may load, to look at it.
        """
        manager = cls(options=options, treatments=treatments)
        manager._rules = rules or LoadingRules()
        manager._settle()
        chosen = None if only is None else {canonicalize_name(only)}
        load_installed(manager, PluginChoice.from_environment(without=without), manager._rules, only=chosen)
        return manager

    @property
    def unfulfilled(self) -> tuple[PluginRecord, ...]:
        """The records of required plugins that are not at work; while there are any, everything is refused."""
        if not self._demands:
            return ()
        return (*self._refusals, *unfulfilled(self._rules.require, self._records.values()), *self._without_families())

    def _without_families(self) -> Iterator[PluginRecord]:
        """Needed plugins that failed to give their families: a model may have been instrumented without its names."""
        for impl in self._impls["model_families"]:
            record = self._records[impl.plugin]
            if impl.failures and self._rules.need_of(record.distribution or "") is not None:
                reason = "its hookframe_model_families raised, so that the names of models are not known"
                repair = f"repair or reinstall {record.distribution}, and start again"
                yield replace(record, state=PluginState.BROKEN, reason=reason, step="families", repair=repair)

    def enforce(
        self,
        rules: LoadingRules,
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        treatments: Mapping[str, Treatment] | None = None,
    ) -> None:
        """Put rules in force on plugins that were chosen by hand: what the rules require is loaded, and asked.

        :param options: as in the constructor, for plugins that are loaded now.
        :param treatments: likewise.
        """
        missing = rules.require - self._settled(rules)
        self._rules = self._rules & rules
        self._settle()
        for impl in self.implementations():
            impl.lenient = self._is_lenient(impl.plugin)  # what is required from now on refuses if it fails
        self._options |= {canonicalize_name(n): dict(v) for n, v in (options or {}).items() if n in missing}
        self._treatments |= {canonicalize_name(n): how for n, how in (treatments or {}).items() if n in missing}
        if missing:
            load_installed(self, PluginChoice(only=rules.require), rules, only=missing)

    def _settled(self, rules: LoadingRules) -> set[str | None]:
        """The distributions whose records stand; those of needed plugins that were left out before are dropped."""
        left_out = (PluginState.DISABLED, PluginState.BLOCKED)
        for key, record in [*self._records.items()]:
            if record.state in left_out and rules.need_of(record.distribution or "") is not None:
                del self._records[key]
        return {record.distribution for record in self._records.values()}

    def _is_lenient(self, name: str) -> bool:
        return name.partition(":")[0] not in self._rules.require and super()._is_lenient(name)

    def refuse(self, record: PluginRecord) -> None:
        """Refuse everything from now on, because of what ``record`` says."""
        self._refusals = (*self._refusals, record)
        self._settle()

    def _settle(self) -> None:
        self._demands = bool(self._refusals or self._rules.require)
        self._quiet = not self._demands and self._implemented.isdisjoint(("check_hooks_to_add", "decision_made"))

    def review_hooks(self, requests: Sequence[HookRequest], model: Any) -> Decision:
        """Ask every ``check_hooks_to_add``."""
        if self._quiet and _deciding.get() is None:
            decision = Decision(requests)  # no plugin to ask or to tell
            sys.audit("hookframe.decision", decision)
            return decision
        return self._review("check_hooks_to_add", requests, {"requests": requests, "model": model})

    def consider(self, requests: Sequence[HookRequest], model: Any) -> Decision:
        """What :meth:`review_hooks` would decide; no observer is told, and nothing follows from it."""
        token = _considering.set(True)
        try:
            return self._decide("check_hooks_to_add", requests, {"requests": requests, "model": model})
        finally:
            _considering.reset(token)

    def review_cache(self, request: CacheRequest, model: Any) -> Decision:
        """Ask every ``check_cache``."""
        return self._review("check_cache", (request,), {"request": request, "model": model})

    def review_device(self, request: DeviceRequest, model: Any) -> Decision:
        """Ask every ``check_device``."""
        return self._review("check_device", (request,), {"request": request, "model": model})

    def review_reset(self, request: ResetRequest, model: Any) -> Decision:
        """Ask every ``check_reset``."""
        return self._review("check_reset", (request,), {"request": request, "model": model})

    def review_run(self, request: RunRequest, model: Any) -> Decision:
        """Ask every ``check_run``."""
        return self._review("check_run", (request,), {"request": request, "model": model})

    def _review(self, spec: str, requests: Sequence[Request], facts: dict[str, Any]) -> Decision:
        return self._announced(self._decide(spec, requests, facts))

    def _announced(self, decision: Decision) -> Decision:
        """Tell all observers of a decision; refuse what had to be recorded and could not be."""
        for impl in self._impls["decision_made"]:
            lost = impl.record({"decision": decision})
            if lost is not None and decision.allowed and len(decision.requests):
                decision = _unrecorded(decision, impl.plugin, lost)
        sys.audit("hookframe.decision", decision)
        return decision

    def _decide(self, spec: str, requests: Sequence[Request], facts: dict[str, Any]) -> Decision:
        busy = _deciding.get()
        if busy is not None:
            raise NestedAdmission(
                f"the {busy} of a plugin asked for an admission of its own: a validator may look at the model, and "
                "attaches nothing"
            )
        impls = self._impls[spec]
        objections = denials(self.unfulfilled, requests) if self._demands else []
        errors: list[BaseException] = []
        if impls and len(requests):
            try:  # from here on: an interrupt may come as soon as it is set
                _deciding.set(spec)
                for impl in impls:
                    objections += impl.validate(requests, facts, errors)
            finally:
                _deciding.set(None)
        if objections:
            objections.sort(key=lambda o: (o.request.index, o.source, o.rule))
        return Decision(requests, tuple(objections), errors=tuple(errors))

    def wrap(self, request: HookRequest, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Let every ``wrap_hook`` put something around ``hook``.

        :raises HookDenied: if one fails, or returns something that cannot be called.
        """
        for impl in self._impls["wrap_hook"]:
            try:
                wrapped = impl.call({"request": request, "hook": hook})
                if wrapped is not None and not callable(wrapped):
                    raise TypeError(f"it returned a {type(wrapped).__name__}, which cannot be called")
            except (Exception, SystemExit) as error:
                objection = Objection.deny(
                    request,
                    rule="plugin-failed",
                    message=f"wrapping the function failed: {error}",
                    remedy=f"repair or uninstall the plugin {impl.plugin!r}",
                )
                decision = Decision((request,), (replace(objection, source=impl.plugin),), errors=(error,))
                raise HookDenied(self._announced(decision)) from error
            hook = hook if wrapped is None else wrapped
        return hook

    @property
    def wanted(self) -> frozenset[str]:
        """The specs that a plugin implements; all validators, if the manager itself has something to refuse."""
        if self._demands and self.unfulfilled:
            return self._implemented.union(VALIDATORS)
        return self._implemented

    def wants(self, spec: str) -> bool:
        """True if ``spec`` is among the :attr:`wanted`."""
        return spec in self.wanted

    def notify(self, event: Event) -> None:
        """Tell the observers of this kind of event. Never raises."""
        self._tell(event.kind, {"event": event})

    def _tell(self, spec: str, facts: dict[str, Any]) -> None:
        for impl in self._impls[spec]:
            impl.observe(facts)

    def commands(self, registry: Any) -> None:
        """Let plugins add commands to ``registry``, a click group; one that fails is left out."""
        self._tell("add_commands", {"registry": registry})

    def families(self) -> list[Any]:
        """The model families that plugins provide; a plugin that fails is left out."""
        return [family for _, family in self.families_by_plugin()]

    def families_by_plugin(self) -> list[tuple[str, Any]]:
        """As :meth:`families`, each with the name of its plugin."""
        return [(impl.plugin, family) for impl in self._impls["model_families"] for family in impl.provide({})]


def _unrecorded(decision: Decision, plugin: str, error: JournalError) -> Decision:
    objection = Objection.deny(
        decision.requests[0],
        rule="audit-required",
        message=f"the decision has to be recorded, and could not be: {error}",
        remedy="make room, or let the journal's directory be written again; or ask the operator",
    )
    objections = (*decision.objections, replace(objection, source=plugin))
    return replace(decision, objections=objections, errors=(*decision.errors, error))
