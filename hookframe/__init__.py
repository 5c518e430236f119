"""Admission control and a plugin bus for hooks in PyTorch models.

The names below are loaded when they are first used: importing this package loads no torch and no plugin, and the first hook
that is attached finds and loads the installed plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookframe.admission.above import above
from hookframe.admission.controller import AdmissionController, source
from hookframe.lending import lend
from hookframe.version import __version__

if TYPE_CHECKING:
    from hookframe.admission.decision import Decision as Decision
    from hookframe.admission.family import ModelFamily as ModelFamily
    from hookframe.admission.objection import Action as Action
    from hookframe.admission.objection import Objection as Objection
    from hookframe.admission.request import CacheRequest as CacheRequest
    from hookframe.admission.request import DeviceRequest as DeviceRequest
    from hookframe.admission.request import FunctionInfo as FunctionInfo
    from hookframe.admission.request import HookRequest as HookRequest
    from hookframe.admission.request import ResetRequest as ResetRequest
    from hookframe.admission.request import RunRequest as RunRequest
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
    from hookframe.errors import ActivationShapeError as ActivationShapeError
    from hookframe.errors import ActivationTypeError as ActivationTypeError
    from hookframe.errors import CacheFileError as CacheFileError
    from hookframe.errors import CacheTooLarge as CacheTooLarge
    from hookframe.errors import CannotInstrument as CannotInstrument
    from hookframe.errors import CaptureInputError as CaptureInputError
    from hookframe.errors import EditNotRecomputedWarning as EditNotRecomputedWarning
    from hookframe.errors import EstimateError as EstimateError
    from hookframe.errors import ExportError as ExportError
    from hookframe.errors import FamilyConflict as FamilyConflict
    from hookframe.errors import GradientError as GradientError
    from hookframe.errors import HookDenied as HookDenied
    from hookframe.errors import HookDidNotFireWarning as HookDidNotFireWarning
    from hookframe.errors import HookEffectError as HookEffectError
    from hookframe.errors import HookframeError as HookframeError
    from hookframe.errors import HookframeWarning as HookframeWarning
    from hookframe.errors import HookObjectionWarning as HookObjectionWarning
    from hookframe.errors import HookPointClosed as HookPointClosed
    from hookframe.errors import HookPointMoved as HookPointMoved
    from hookframe.errors import HookRecomputedWarning as HookRecomputedWarning
    from hookframe.errors import HookReturnError as HookReturnError
    from hookframe.errors import HooksExportedWarning as HooksExportedWarning
    from hookframe.errors import HooksLeaked as HooksLeaked
    from hookframe.errors import HooksLostWarning as HooksLostWarning
    from hookframe.errors import HooksNotAdmitted as HooksNotAdmitted
    from hookframe.errors import InstrumentReleased as InstrumentReleased
    from hookframe.errors import InvalidDirection as InvalidDirection
    from hookframe.errors import InvalidHookFunction as InvalidHookFunction
    from hookframe.errors import InvalidJournal as InvalidJournal
    from hookframe.errors import InvalidLoadingRules as InvalidLoadingRules
    from hookframe.errors import InvalidNamesFilter as InvalidNamesFilter
    from hookframe.errors import InvalidObjection as InvalidObjection
    from hookframe.errors import InvalidPlan as InvalidPlan
    from hookframe.errors import InvalidWireData as InvalidWireData
    from hookframe.errors import JournalError as JournalError
    from hookframe.errors import MissingExtra as MissingExtra
    from hookframe.errors import ModelNotLoaded as ModelNotLoaded
    from hookframe.errors import NestedAdmission as NestedAdmission
    from hookframe.errors import NoopCheckFailed as NoopCheckFailed
    from hookframe.errors import NotAHookPoint as NotAHookPoint
    from hookframe.errors import NotSetUp as NotSetUp
    from hookframe.errors import PluginError as PluginError
    from hookframe.errors import PluginNameError as PluginNameError
    from hookframe.errors import PluginRejected as PluginRejected
    from hookframe.errors import PolicyError as PolicyError
    from hookframe.errors import ReplicaCacheError as ReplicaCacheError
    from hookframe.errors import StaleActivationWarning as StaleActivationWarning
    from hookframe.errors import UnknownActivation as UnknownActivation
    from hookframe.errors import UnknownFamily as UnknownFamily
    from hookframe.errors import UnknownHookPoint as UnknownHookPoint
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

__getattr__, _, _lent = lend(__name__)
__all__ = ["__version__", *_lent]  # noqa: PLE0604  # a list of strings


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
    equal_points="hookframe.instrumenting.recognising:equal_points",
    families_of="hookframe.instrumenting.recognising:families_of",
    capture="hookframe.capture.capturing:capture",
    load_cache="hookframe.capture.saving:load_cache",
    save_cache="hookframe.capture.saving:save_cache",
)
