"""The plugin: what hookframe calls, and the memory of which warnings were given."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hookframe import hookimpl
from hookframe_mps.device_policy import VARIABLE, DevicePolicy
from hookframe_mps.torch_release import installed_torch

if TYPE_CHECKING:
    from hookframe import Decision, DeviceRequest, Objection
    from hookframe.hookspecs import PluginConfig

__all__ = ["MpsPlugin", "plugin"]


class MpsPlugin:
    """The device policy for MPS, to be registered with one plugin manager.

    Each warning is given once between two configurations: once per process for :data:`plugin`, which is what the
    entry point names; make an instance of your own for a manager of your own.

    :param torch_release: tells the version of torch, None if it is unknown.
    """

    __name__ = "hookframe-mps"  # so that options find it under the distribution's name when it is registered by hand

    def __init__(self, torch_release: Callable[[], str | None] = installed_torch) -> None:
        self._torch_release = torch_release
        self._policy = DevicePolicy(torch_release=torch_release)
        self._registered_as = self.__name__
        self._said: set[str] = set()

    @hookimpl
    def hookframe_configure(self, config: PluginConfig) -> None:
        """Take the options, and forget which warnings were given."""
        self._policy = DevicePolicy.from_options(config.options, self._torch_release)
        self._registered_as = config.plugin
        self._said = set()

    @hookimpl
    def hookframe_check_device(self, request: DeviceRequest, model: Any) -> list[Objection]:
        """Object to MPS devices as the options say."""
        silenced = os.environ.get(VARIABLE) == "1"
        return self._policy.review(request, model, said=self._said, silenced=silenced)

    @hookimpl
    def hookframe_decision_made(self, decision: Decision) -> None:
        """Remember the warnings that reach the user; those of a refused request do not, and will be given again."""
        if decision.allowed:
            self._said.update(o.rule for o in decision.warnings if o.source == self._registered_as)


plugin = MpsPlugin()
