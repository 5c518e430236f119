"""The plugin manager: holds plugins on a pluggy bus, and is the admission controller that asks and tells them."""

from __future__ import annotations

import contextvars
import difflib
import inspect
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
from hookframe.hookspecs import OBSERVERS, PREFIX, PluginConfig
from hookframe.host.event_names import spec_for
from hookframe.host.guard import GuardedImpl
from hookframe.host.loading import Selection, load_installed
from hookframe.host.record import PluginRecord, PluginState

__all__ = ["PluginManager"]

_SPECS = tuple(name.removeprefix(PREFIX) for name in vars(hookspecs) if name.startswith(PREFIX))
_deciding: contextvars.ContextVar[str | None] = contextvars.ContextVar("hookframe_deciding", default=None)


class PluginManager:
    """Holds plugins, and decides by asking them.

    :param plugins: modules or objects with implementations, registered in order.
    :param options: plugin name → the options that it is configured with.
    """

    def __init__(self, *plugins: object, options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._bus = pluggy.PluginManager("hookframe")
        self._bus.add_hookspecs(hookspecs)
        self._options = {canonicalize_name(name): dict(values) for name, values in (options or {}).items()}
        self._records: dict[str, PluginRecord] = {}
        self._impls: dict[str, tuple[GuardedImpl, ...]] = dict.fromkeys(_SPECS, ())
        for plugin in plugins:
            self.register(plugin)

    @classmethod
    def installed(
        cls, *, without: Collection[str] = (), options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> PluginManager:
        """A manager with every installed plugin, less what ``HOOKFRAME_PLUGINS`` and ``without`` leave out.

        A plugin that fails to load is recorded with its reason and left out.
        """
        manager = cls(options=options)
        load_installed(manager, Selection.from_environment(without=without))
        return manager

    # ---- holding ------------------------------------------------------------------------------------------------

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """What became of each plugin, sorted by name."""
        return tuple(self._current(self._records[key]) for key in sorted(self._records))

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
            plugin = _made(plugin)
        if record is None:
            record = PluginRecord(name=_name_of(plugin), state=PluginState.LOADED, reason="registered by hand")
        name = record.name
        if self._bus.has_plugin(name) or self._bus.is_registered(plugin):
            raise PluginRejected(f"plugin {name!r} is registered already: unregister it first, or give it another name")
        _inspect(plugin, name)
        config = PluginConfig(plugin=name, options=MappingProxyType(self._options.get(canonicalize_name(name), {})))
        try:
            self._bus.register(plugin, name)
            for impl in self._impls_of(plugin, "configure"):
                impl.call({"config": config})
        except (Exception, SystemExit) as error:
            if self._bus.has_plugin(name):
                self._bus.unregister(plugin)
            raise PluginRejected(f"plugin {name!r} failed while it was registered: {error}") from error
        self._collect()
        implemented = tuple(spec for spec in _SPECS if any(i.plugin == name for i in self._impls[spec]))
        self._records[name] = replace(record, specs=implemented)
        return self._records[name]

    def unregister(self, name: str) -> None:
        """Take a plugin away.

        :raises KeyError: if there is none of that name.
        """
        plugin = self._bus.get_plugin(name)
        if plugin is None:
            raise KeyError(f"no plugin {name!r} is registered: the names are {sorted(self._records)}")
        self._bus.unregister(plugin)
        del self._records[name]
        self._collect()

    def _collect(self) -> None:
        """Make the guarded implementations anew; those that were there keep their counts."""
        known = {(impl.plugin, spec): impl for spec in _SPECS for impl in self._impls[spec]}
        for spec in _SPECS:
            found = [
                known.get((impl.plugin_name, spec)) or GuardedImpl(impl.plugin_name, spec, impl.function, impl.argnames)
                for impl in getattr(self._bus.hook, PREFIX + spec).get_hookimpls()
            ]
            self._impls[spec] = tuple(sorted(found, key=lambda guarded: guarded.plugin))

    def _impls_of(self, plugin: object, spec: str) -> list[GuardedImpl]:
        caller = getattr(self._bus.hook, PREFIX + spec)
        return [
            GuardedImpl(impl.plugin_name, spec, impl.function, impl.argnames)
            for impl in caller.get_hookimpls()
            if impl.plugin is plugin
        ]

    # ---- deciding -----------------------------------------------------------------------------------------------

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
        objections: list[Objection] = []
        if impls and len(requests):
            token = _deciding.set(spec)
            try:
                for impl in impls:
                    objections += impl.validate(requests, facts)
            finally:
                _deciding.reset(token)
        objections.sort(key=lambda o: (o.request.index, o.source, o.rule))
        decision = Decision(requests, tuple(objections))
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

    # ---- telling ------------------------------------------------------------------------------------------------

    def wants(self, spec: str) -> bool:
        """True if a plugin implements ``spec``."""
        return bool(self._impls[spec])

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


def _made(plugin: type) -> object:
    try:
        return plugin()
    except (Exception, SystemExit) as error:
        raise PluginRejected(f"plugin class {plugin.__name__!r} cannot be made without arguments: {error}") from error


def _name_of(plugin: object) -> str:
    named = plugin if hasattr(plugin, "__name__") else type(plugin)
    return str(getattr(named, "__name__", repr(plugin)))


def _inspect(plugin: object, name: str) -> None:
    """Refuse what pluggy would let through: unknown specs, unknown arguments, wrappers, and being the only answer.

    :raises PluginRejected: with the nearest known spec.
    """
    for attribute in dir(plugin):
        try:
            value = inspect.getattr_static(plugin, attribute)
        except AttributeError:
            continue
        options = getattr(getattr(value, "__func__", value), "hookframe_impl", None)
        if not isinstance(options, dict):
            continue
        spec = str(options.get("specname") or attribute)
        _check_spec(spec, name)
        if any(options.get(flag) for flag in ("wrapper", "hookwrapper")):
            raise PluginRejected(f"plugin {name!r} wraps {spec}: no implementation may stand between others")
        _check_arguments(getattr(value, "__func__", value), spec, name)


def _check_spec(spec: str, name: str) -> None:
    if spec.removeprefix(PREFIX) not in _SPECS or not spec.startswith(PREFIX):
        near = difflib.get_close_matches(spec, [PREFIX + known for known in _SPECS], n=1, cutoff=0.4)
        hint = f": did you mean {near[0]}?" if near else ""
        raise PluginRejected(f"plugin {name!r} implements {spec}, which is no spec of this hookframe{hint}")


def _check_arguments(function: Any, spec: str, name: str) -> None:
    known = [*inspect.signature(getattr(hookspecs, spec)).parameters]
    asked = [parameter for parameter in inspect.signature(function).parameters if parameter not in ("self", "cls")]
    for argument in asked:
        if argument not in known:
            raise PluginRejected(f"plugin {name!r}: {spec} takes {known}, and the implementation asks for {argument!r}")
