"""Admission control and a plugin bus for hooks in PyTorch models.

Errors and the values of admission are here at once; the other names are loaded when they are first used. So importing this
package loads no torch and no plugin, and the first hook that is attached finds and loads the installed plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookframe import errors
from hookframe.admission.above import above
from hookframe.admission.controller import AdmissionController, source
from hookframe.admission.decision import Decision
from hookframe.admission.family import ModelFamily
from hookframe.admission.objection import Action, Objection
from hookframe.admission.request import CacheRequest, DeviceRequest, FunctionInfo, HookRequest, ResetRequest, RunRequest
from hookframe.errors import *  # noqa: F403  # errors.__all__ is a part of ours
from hookframe.lending import lend
from hookframe.version import __version__

if TYPE_CHECKING:
    from hookframe.core.cache.activation_cache import ActivationCache as ActivationCache
    from hookframe.core.hooks.attachment import HookHandle as HookHandle
    from hookframe.core.hooks.attachment import LensHandle as LensHandle
    from hookframe.core.hooks.guards import guarded as guarded
    from hookframe.core.hooks.guards import read_only as read_only
    from hookframe.core.model.hook_point import HookPoint as HookPoint
    from hookframe.core.values.slices import Slice as Slice
    from hookframe.core.values.slices import SliceInput as SliceInput
    from hookframe.core.values.types import DeviceType as DeviceType
    from hookframe.core.values.types import HookFunction as HookFunction
    from hookframe.core.values.types import NamesFilter as NamesFilter
    from hookframe.core.verbs.introspection import HookIntrospectionMixin as HookIntrospectionMixin
    from hookframe.core.verbs.root_module import HookedRootModule as HookedRootModule
    from hookframe.hookspecs import hookimpl as hookimpl
    from hookframe.host.running.manager import PluginManager as PluginManager
    from hookframe.host.running.using import use_plugins as use_plugins
    from hookframe.inspecting.leaks import no_leaks as no_leaks
    from hookframe.inspecting.noop import check_noop as check_noop
    from hookframe.inspecting.report import ScanReport as ScanReport
    from hookframe.inspecting.scan import scan as scan
    from hookframe.instrumenting.family import Family as Family
    from hookframe.instrumenting.instrument import instrument as instrument
    from hookframe.instrumenting.instrumented_model import InstrumentedModel as InstrumentedModel
    from hookframe.plan.hook_plan import HookPlan as HookPlan

__all__ = ["Action", "CacheRequest", "Decision", "DeviceRequest", "FunctionInfo", "HookRequest", "ModelFamily"]
__all__ += ["Objection", "ResetRequest", "RunRequest", "__version__"]
__all__ += errors.__all__
__getattr__, _, _lent = lend(__name__)
__all__ += _lent  # noqa: PLE0605  # a list of strings


def __dir__() -> list[str]:
    return [*__all__]


def _installed_plugins() -> AdmissionController:
    """The process's default controller: the installed plugins, as far as the policy lets them load, and the policy."""
    from hookframe.policy.in_force.governing import governed_manager

    return governed_manager()


def _govern(manager: Any) -> None:
    """Put the policy of machine and organisation in front of plugins of somebody's own choice."""
    from hookframe.policy.in_force.governing import govern, managed_layers

    govern(manager, managed_layers())


source.provide(_installed_plugins, _govern)
above.provide(
    cache_html="hookframe.capture.display:cache_html",
    families_of="hookframe.instrumenting.recognising:families_of",
    capture="hookframe.capture.capturing:capture",
    load_cache="hookframe.capture.saving:load_cache",
    save_cache="hookframe.capture.saving:save_cache",
)
