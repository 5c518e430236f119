"""The plugin manager: holds plugins on a pluggy bus, and is the admission controller that asks and tells them."""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pluggy
from packaging.utils import canonicalize_name

from hookframe import hookspecs
from hookframe.admission.decision import Decision
from hookframe.admission.events import Event
from hookframe.admission.objection import Objection
from hookframe.admission.request import CacheRequest, DeviceRequest, HookRequest, Request, ResetRequest
from hookframe.errors import HookDenied, NestedAdmission, PluginRejected
from hookframe.hookspecs import OBSERVERS, PREFIX, VALIDATORS, PluginConfig
from hookframe.host.event_names import spec_for
from hookframe.host.guard import GuardedImpl
from hookframe.host.inspection import SPECS, arguments_of, implementation, inspect_plugin, made, name_of
from hookframe.host.isolation import IsolatedPlugin, isolated_impl
from hookframe.host.loading import load_installed
from hookframe.host.record import Implementation, PluginRecord, PluginState
from hookframe.host.required import denials, unfulfilled
from hookframe.host.rules import LoadingRules
from hookframe.host.selection import Selection

__all__ = ["PluginManager"]

_deciding: contextvars.ContextVar[str | None] = contextvars.ContextVar("hookframe_deciding", default=None)


class PluginManager:
    """Holds plugins, and decides by asking them.

    :param plugins: modules or objects with implementations, registered in order.
    :param options: plugin name → the options that it is configured with.
    """

    def __init__(self, *plugins: object, options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._rules = LoadingRules()
        self._bus = pluggy.PluginManager("hookframe")
        self._bus.add_hookspecs(hookspecs)
        self._options = {canonicalize_name(name): dict(values) for name, values in (options or {}).items()}
        self._records: dict[str, PluginRecord] = {}
        self._impls: dict[str, tuple[GuardedImpl, ...]] = dict.fromkeys(SPECS, ())
        self._isolated: dict[str, IsolatedPlugin] = {}
        self._refusals: tuple[PluginRecord, ...] = ()
        for given in plugins:
            plugin = made(given) if isinstance(given, type) else given
            self.register(plugin, self._record_by_hand(plugin))

    @classmethod
    def installed(
        cls,
        *,
        rules: LoadingRules | None = None,
        without: Collection[str] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        only: str | None = None,
    ) -> PluginManager:
        """A manager with every installed plugin that may load.

        A plugin that fails to load is recorded with its reason and left out. Without a plugin that the rules require,
        the manager refuses everything that it is asked about.

        :param rules: which plugins may load, and which must; all may and none must if None.
        :param without: names of distributions to leave out, as ``HOOKFRAME_PLUGINS`` does; a required plugin that a person
            leaves out counts as missing.
        :param only: load this distribution alone, if it may load, to look at it.
        """
        manager = cls(options=options)
        manager._rules = rules or LoadingRules()
        chosen = None if only is None else canonicalize_name(only)
        load_installed(manager, Selection.from_environment(without=without), manager._rules, only=chosen)
        return manager

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """What became of each plugin, sorted by name."""
        return tuple(self._current(self._records[key]) for key in sorted(self._records))

    @property
    def unfulfilled(self) -> tuple[PluginRecord, ...]:
        """The records of required plugins that are not at work; while there are any, everything is refused."""
        required = unfulfilled(self._rules.require, self._records.values()) if self._rules.require else ()
        return (*self._refusals, *required)

    def refuse(self, record: PluginRecord) -> None:
        """Refuse everything from now on, because of what ``record`` says."""
        self._refusals = (*self._refusals, record)

    def options_of(self, name: str) -> Mapping[str, Any]:
        """The options that a plugin is configured with: its own, else those of its distribution."""
        own = self._options.get(canonicalize_name(name))
        return MappingProxyType(own or self._options.get(canonicalize_name(name.partition(":")[0]), {}))

    def implementations(self) -> tuple[GuardedImpl, ...]:
        """Every implementation of every plugin, in the order of the specs, and by plugin within a spec."""
        return tuple(impl for spec in SPECS for impl in self._impls[spec])

    def places_of(self, name: str) -> tuple[Implementation, ...]:
        """Where a registered plugin implements which specs."""
        return tuple(implementation(i.spec, i.function) for i in self.implementations() if i.plugin == name)

    def _current(self, record: PluginRecord) -> PluginRecord:
        tripped = [i.spec for spec in OBSERVERS for i in self._impls[spec] if i.plugin == record.name and i.tripped]
        if not tripped:
            return record
        reason = f"{', '.join(tripped)} failed too often and is left out"
        return replace(record, state=PluginState.TRIPPED, reason=reason)

    def add_record(self, record: PluginRecord) -> None:
        """Remember a plugin that was not loaded."""
        key = record.name if record.name not in self._records else f"{record.name} {record.entry_point} {record.state}"
        self._records[key] = record

    def register(self, plugin: object, record: PluginRecord | None = None) -> PluginRecord:
        """Add one plugin: a module, an object, or a class, which is called without arguments to make the object.

        :param record: what is known about it; made from the plugin's own name if None.
        :returns: the record, completed with the specs that the plugin implements.
        :raises PluginRejected: if it implements an unknown spec, asks for an argument that the spec does not have, wraps
            a spec or wants to be the only answer, has a name that is taken, or fails while it is registered. It was left
            out.
        """
        if isinstance(plugin, type):
            plugin = made(plugin)
        if record is None:
            record = _by_hand(name_of(plugin))
        name = record.name
        if self._bus.has_plugin(name) or self._bus.is_registered(plugin):
            raise PluginRejected(f"plugin {name!r} is registered already: unregister it first, or give it another name")
        inspect_plugin(plugin, name)
        config = PluginConfig(plugin=name, options=self.options_of(name))
        try:
            self._bus.register(plugin, name)
            for impl in self._impls_of(plugin, "configure"):
                impl.call({"config": config})
        except (Exception, SystemExit) as error:
            if self._bus.has_plugin(name):
                self._bus.unregister(plugin)
            raise PluginRejected(f"plugin {name!r} failed while it was registered: {error}") from error
        self._collect()
        implemented = tuple(spec for spec in SPECS if any(i.plugin == name for i in self._impls[spec]))
        self._records[name] = replace(record, specs=implemented)
        return self._records[name]

    def _record_by_hand(self, plugin: object) -> PluginRecord:
        """A record with a name that is free: several objects of one class are numbered."""
        name = name_of(plugin)
        names = (name if number == 1 else f"{name}#{number}" for number in itertools.count(1))
        return _by_hand(next(free for free in names if not self._bus.has_plugin(free)))

    def register_isolated(self, target: str, *, name: str, limit: float = 5.0) -> PluginRecord:
        """Add a plugin of pure validators that runs in a process of its own.

        :param target: the plugin, as an entry point's value: ``module`` or ``module:attribute``. It is not imported here.
        :param limit: how long it may take to start, and for each answer, in seconds; then it denies.
        :raises PluginRejected: if it cannot be loaded there, asks for the model, implements anything but validators, or
            has a name that is taken.
        """
        if self._bus.has_plugin(name) or name in self._isolated:
            raise PluginRejected(f"plugin {name!r} is registered already: unregister it first, or give it another name")
        plugin = IsolatedPlugin(target, name, limit=limit)
        self._isolated[name] = plugin
        self._collect()
        record = PluginRecord(
            name=name,
            entry_point=target,
            state=PluginState.LOADED,
            reason="loaded in a process of its own",
            specs=tuple(plugin.specs),
        )
        self._records[name] = record
        return record

    def close(self) -> None:
        """End the processes of isolated plugins; a question starts them again."""
        for plugin in self._isolated.values():
            plugin.close()

    def unregister(self, name: str) -> None:
        """Take a plugin away.

        :raises KeyError: if there is none of that name.
        """
        isolated = self._isolated.pop(name, None)
        plugin = self._bus.get_plugin(name)
        if isolated is not None:
            isolated.close()
        elif plugin is not None:
            self._bus.unregister(plugin)
        else:
            raise KeyError(f"no plugin {name!r} is registered: the names are {sorted(self._records)}")
        del self._records[name]
        self._collect()

    def _collect(self) -> None:
        """Make the guarded implementations anew; those that were there keep their counts."""
        known = {(impl.plugin, spec): impl for spec in SPECS for impl in self._impls[spec]}
        for spec in SPECS:
            found = [
                known.get((impl.plugin_name, spec))
                or GuardedImpl(impl.plugin_name, spec, impl.function, arguments_of(impl.function))
                for impl in getattr(self._bus.hook, PREFIX + spec).get_hookimpls()
            ]
            found += [
                known.get((name, spec)) or isolated_impl(plugin, spec)
                for name, plugin in self._isolated.items()
                if spec in plugin.specs
            ]
            self._impls[spec] = tuple(sorted(found, key=lambda guarded: guarded.plugin))

    def _impls_of(self, plugin: object, spec: str) -> list[GuardedImpl]:
        caller = getattr(self._bus.hook, PREFIX + spec)
        return [
            GuardedImpl(impl.plugin_name, spec, impl.function, arguments_of(impl.function))
            for impl in caller.get_hookimpls()
            if impl.plugin is plugin
        ]

    def review_hooks(self, requests: Sequence[HookRequest], model: Any) -> Decision:
        """Ask every ``check_hooks_to_add``."""
        return self._review("check_hooks_to_add", requests, {"requests": requests, "model": model})

    def review_cache(self, request: CacheRequest, model: Any) -> Decision:
        """Ask every ``check_cache``."""
        return self._review("check_cache", (request,), {"request": request, "model": model})

    def review_device(self, request: DeviceRequest, model: Any) -> Decision:
        """Ask every ``check_device``."""
        return self._review("check_device", (request,), {"request": request, "model": model})

    def review_reset(self, request: ResetRequest, model: Any) -> Decision:
        """Ask every ``check_reset``."""
        return self._review("check_reset", (request,), {"request": request, "model": model})

    def _review(self, spec: str, requests: Sequence[Request], facts: dict[str, Any]) -> Decision:
        busy = _deciding.get()
        if busy is not None:
            raise NestedAdmission(
                f"the {busy} of a plugin asked for an admission of its own: a validator may look at the model, and "
                "attaches nothing"
            )
        impls = self._impls[spec]
        objections = denials(self.unfulfilled, requests)
        errors: list[BaseException] = []
        if impls and len(requests):
            token = _deciding.set(spec)
            try:
                for impl in impls:
                    objections += impl.validate(requests, facts, errors)
            finally:
                _deciding.reset(token)
        objections.sort(key=lambda o: (o.request.index, o.source, o.rule))
        decision = Decision(requests, tuple(objections), errors=tuple(errors))
        if self._impls["decision_made"]:
            self._tell("decision_made", {"decision": decision})
        return decision

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
                decision = Decision((request,), (replace(objection, source=impl.plugin),))
                raise HookDenied(decision) from error
            hook = hook if wrapped is None else wrapped
        return hook

    def wants(self, spec: str) -> bool:
        """True if a plugin implements ``spec``, or if the manager itself has something to refuse."""
        return bool(self._impls[spec]) or (spec in VALIDATORS and bool(self.unfulfilled))

    def notify(self, event: Event) -> None:
        """Tell the observers of this kind of event. Never raises."""
        self._tell(spec_for(event), {"event": event})

    def _tell(self, spec: str, facts: dict[str, Any]) -> None:
        for impl in self._impls[spec]:
            impl.observe(facts)

    def commands(self, registry: Any) -> None:
        """Let plugins add commands to ``registry``, a click group; one that fails is left out."""
        self._tell("add_commands", {"registry": registry})

    def families(self) -> list[Any]:
        """What the plugins know of model families; one that fails is left out."""
        return [family for impl in self._impls["model_families"] for family in impl.provide({})]


def _by_hand(name: str) -> PluginRecord:
    return PluginRecord(name=name, state=PluginState.LOADED, reason="registered by hand")
