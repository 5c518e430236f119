"""Holding plugins on a pluggy bus: registering, isolating, unregistering, and a record of each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import pluggy
from packaging.utils import canonicalize_name

from hookframe import hookspecs
from hookframe.errors import PluginRejected
from hookframe.hookspecs import PREFIX, PluginConfig
from hookframe.host.installed.record import Implementation, PluginRecord, PluginState
from hookframe.host.running.guard import GuardedImpl
from hookframe.host.running.inspection import SPECS, arguments_of, implementation, inspect_plugin, made, name_of
from hookframe.host.running.isolation import IsolatedPlugin, isolated_impl
from hookframe.host.running.treatment import Treatment, treatment_of

__all__ = ["HeldPlugins"]

_OF_NO_HOOK = frozenset({"configure", "add_commands"})
_IDLE = "idle: as it is configured, it has nothing to do with hooks"


class HeldPlugins:
    """Plugins with their implementations, each behind its guard.

    :param plugins: modules or objects with implementations, registered in order.
    :param options: plugin name → the options that it is configured with.
    :param treatments: plugin name → how the operator wants it treated.
    """

    def __init__(
        self,
        *plugins: object,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        treatments: Mapping[str, Treatment] | None = None,
    ) -> None:
        self._bus = pluggy.PluginManager("hookframe")
        self._bus.add_hookspecs(hookspecs)
        self._options = {canonicalize_name(name): dict(values) for name, values in (options or {}).items()}
        self._treatments: dict[str, Treatment] = {
            canonicalize_name(name): treatment for name, treatment in (treatments or {}).items()
        }
        self._records: dict[str, PluginRecord] = {}
        self._impls: dict[str, tuple[GuardedImpl, ...]] = dict.fromkeys(SPECS, ())
        self._implemented: frozenset[str] = frozenset()
        self._isolated: dict[str, IsolatedPlugin] = {}
        for given in plugins:
            plugin = made(given) if isinstance(given, type) else given
            self.register(plugin, self._record_by_hand(plugin))

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """What became of each plugin, sorted by name."""
        return tuple(self._current(self._records[key]) for key in sorted(self._records))

    def options_of(self, name: str) -> Mapping[str, Any]:
        """The options that a plugin is configured with: its own, else those of its distribution."""
        own = self._options.get(canonicalize_name(name))
        return MappingProxyType(own or self._options.get(canonicalize_name(name.partition(":")[0]), {}))

    def treatment_of(self, name: str) -> Treatment:
        """How a plugin is treated."""
        return treatment_of(name, self._treatments)

    def _is_lenient(self, name: str) -> bool:
        return self.treatment_of(name).failure == "warn"

    def implementations(self) -> tuple[GuardedImpl, ...]:
        """Every implementation of every plugin, in the order of the specs, and by plugin within a spec."""
        return tuple(impl for spec in SPECS for impl in self._impls[spec])

    def places_of(self, name: str) -> tuple[Implementation, ...]:
        """Where a registered plugin implements which specs."""
        return tuple(implementation(i.spec, i.function) for i in self.implementations() if i.plugin == name)

    def plugin(self, name: str) -> object | None:
        """The plugin that is registered under ``name``; None if there is none, or it runs in a process of its own."""
        found: object | None = self._bus.get_plugin(name)
        return found

    def _current(self, record: PluginRecord) -> PluginRecord:
        tripped = [i.spec for i in self.implementations() if i.plugin == record.name and i.left_out]
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
                inspect_plugin(plugin, name)  # which may implement more or less than before
                self._bus.unregister(plugin)
                self._bus.register(plugin, name)
        except (Exception, SystemExit) as error:
            if self._bus.has_plugin(name):
                self._bus.unregister(plugin)
            raise PluginRejected(f"plugin {name!r} failed while it was registered: {error}") from error
        self._collect()
        implemented = tuple(spec for spec in SPECS if any(i.plugin == name for i in self._impls[spec]))
        idle = "configure" in implemented and _OF_NO_HOOK.issuperset(implemented)
        reason = f"{record.reason}; {_IDLE}" if idle else record.reason
        self._records[name] = replace(record, reason=reason, specs=implemented)
        return self._records[name]

    def configure(self, name: str, options: Mapping[str, Any]) -> None:
        """Register a plugin anew, with these options; what it implements may be different afterwards.

        A plugin that refuses them is left out, and its record says why.

        :raises KeyError: if no plugin of that name is registered in this process.
        """
        plugin, record = self._bus.get_plugin(name), self._records[name]
        self.unregister(name)
        self._options[canonicalize_name(name)] = dict(options)
        record = replace(record, reason=record.reason.removesuffix(f"; {_IDLE}"))
        try:
            self.register(plugin, record)
        except PluginRejected as error:
            self.add_record(replace(record, state=PluginState.BROKEN, reason=str(error), step="configuration"))

    def _record_by_hand(self, plugin: object) -> PluginRecord:
        """A record with a name that is free: several objects of one class are numbered."""
        return _by_hand(self.free_name(name_of(plugin)))

    def free_name(self, name: str) -> str:
        """``name``, numbered if a plugin has it already."""
        names = (name if number == 1 else f"{name}#{number}" for number in itertools.count(1))
        return next(free for free in names if not self._bus.has_plugin(free) and free not in self._records)

    @property
    def plugins(self) -> tuple[object, ...]:
        """The plugins that run in this process, sorted by name."""
        return tuple(plugin for _, plugin in sorted(self._bus.list_name_plugin(), key=itemgetter(0)))

    def register_isolated(
        self,
        target: str,
        *,
        name: str,
        limit: float = 5.0,
        record: PluginRecord | None = None,
        fresh: bool = False,
    ) -> PluginRecord:
        """Add a plugin of pure validators that runs in a process of its own.

        :param target: the plugin, as an entry point's value: ``module`` or ``module:attribute``. It is not imported here.
        :param limit: how long it may take to start, and for each answer, in seconds; then it denies.
        :param record: what is known about it.
        :param fresh: True to read no compiled file that lies beside a source.
        :raises PluginRejected: if it cannot be loaded there, asks for the model, implements anything but validators, or
            has a name that is taken.
        """
        if self._bus.has_plugin(name) or name in self._isolated:
            raise PluginRejected(f"plugin {name!r} is registered already: unregister it first, or give it another name")
        plugin = IsolatedPlugin(target, name, limit=limit, fresh=fresh)
        self._isolated[name] = plugin
        self._collect()
        known = record or PluginRecord(name=name, entry_point=target, state=PluginState.LOADED, reason="")
        self._records[name] = replace(known, reason="loaded in a process of its own", specs=tuple(plugin.specs))
        return self._records[name]

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
        """Make the guarded implementations anew; existing ones keep their counts."""
        known = {(impl.plugin, spec): impl for spec in SPECS for impl in self._impls[spec]}
        for spec in SPECS:
            found = [
                known.get((impl.plugin_name, spec))
                or GuardedImpl(
                    impl.plugin_name,
                    spec,
                    impl.function,
                    arguments_of(impl.function),
                    lenient=self._is_lenient(impl.plugin_name),
                )
                for impl in getattr(self._bus.hook, PREFIX + spec).get_hookimpls()
            ]
            found += [
                known.get((name, spec)) or isolated_impl(plugin, spec, lenient=self._is_lenient(name))
                for name, plugin in self._isolated.items()
                if spec in plugin.specs
            ]
            self._impls[spec] = tuple(sorted(found, key=lambda guarded: guarded.plugin))
        self._implemented = frozenset(spec for spec in SPECS if self._impls[spec])
        self._settle()

    def _settle(self) -> None:
        """Work out what follows from the implementations, after they have changed."""

    def _impls_of(self, plugin: object, spec: str) -> list[GuardedImpl]:
        caller = getattr(self._bus.hook, PREFIX + spec)
        return [
            GuardedImpl(impl.plugin_name, spec, impl.function, arguments_of(impl.function))
            for impl in caller.get_hookimpls()
            if impl.plugin is plugin
        ]


def _by_hand(name: str) -> PluginRecord:
    return PluginRecord(name=name, state=PluginState.LOADED, reason="registered by hand")
