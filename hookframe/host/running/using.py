"""Running with plugins of the user's choice, in tests, notebooks and scripts."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from hookframe.admission.controller import source
from hookframe.host.running.manager import PluginManager

__all__ = ["use_plugins"]


class use_plugins:  # noqa: N801  # used as a verb, as a function would be
    """Decide with these plugins from now on, in the whole process; as a context manager, until its end.

    ``use_plugins(my_validator)`` takes modules or objects with implementations; ``use_plugins(manager)`` takes a manager
    that is already there; ``use_plugins()`` runs without any plugin. Models with an ``admission_controller`` of their own
    keep it. A policy of the machine or the organisation stays in force, with the plugins that it requires.

    :param options: plugin name → options, for plugins that are given here.
    :ivar manager: the manager in force.
    """

    def __init__(self, *plugins: object, options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        if len(plugins) == 1 and isinstance(plugins[0], PluginManager):
            self.manager = plugins[0]
        else:
            self.manager = PluginManager(*plugins, options=options)
        self._open = True
        source.push(self.manager)

    def __enter__(self) -> PluginManager:
        if not self._open:  # it was left before: decide again
            self._open = True
            source.push(self.manager)
        return self.manager

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop deciding with these plugins; a second call does nothing."""
        if self._open:
            self._open = False
            source.drop(self.manager)
