"""Admission control and a plugin bus for hooks in PyTorch models.

The names below are loaded when they are first used: importing this package loads no torch and no plugin, and the first
hook that is attached finds and loads the installed plugins.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hookframe.admission.above import above
from hookframe.admission.controller import AdmissionController, source
from hookframe.version import __version__

if TYPE_CHECKING:
    from hookframe.admission.decision import Decision
    from hookframe.admission.family import ModelFamily
    from hookframe.admission.objection import Action, Objection
    from hookframe.admission.request import (
        CacheRequest,
        DeviceRequest,
        FunctionInfo,
        HookRequest,
        ResetRequest,
        RunRequest,
    )
    from hookframe.core.activation_cache import ActivationCache
    from hookframe.core.effects import read_only
    from hookframe.core.handles import HookHandle
    from hookframe.core.handles import HookHandle as LensHandle
    from hookframe.core.hook_point import HookPoint
    from hookframe.core.introspection import HookIntrospectionMixin
    from hookframe.core.return_guard import guarded
    from hookframe.core.root_module import HookedRootModule
    from hookframe.core.slicing import Slice, SliceInput
    from hookframe.core.types import DeviceType, HookFunction, NamesFilter
    from hookframe.errors import (
        ActivationShapeError,
        ActivationTypeError,
        CacheFileError,
        CacheTooLarge,
        CannotInstrument,
        CaptureInputError,
        EditNotRecomputedWarning,
        EstimateError,
        ExportError,
        GradientError,
        HookDenied,
        HookDidNotFireWarning,
        HookEffectError,
        HookframeError,
        HookframeWarning,
        HookObjectionWarning,
        HookPointClosed,
        HookPointMoved,
        HookRecomputedWarning,
        HookReturnError,
        HooksExportedWarning,
        HooksLeaked,
        HooksLostWarning,
        HooksNotAdmitted,
        InstrumentReleased,
        InvalidDirection,
        InvalidHookFunction,
        InvalidJournal,
        InvalidLoadingRules,
        InvalidNamesFilter,
        InvalidObjection,
        InvalidPlan,
        InvalidWireData,
        JournalError,
        MissingExtra,
        ModelNotLoaded,
        NestedAdmission,
        NoopCheckFailed,
        NotAHookPoint,
        NotSetUp,
        PluginError,
        PluginNameError,
        PluginRejected,
        PolicyError,
        ReplicaCacheError,
        StaleActivationWarning,
        UnknownActivation,
        UnknownFamily,
        UnknownHookPoint,
    )
    from hookframe.hookspecs import hookimpl
    from hookframe.host.running.manager import PluginManager
    from hookframe.host.running.using import use_plugins
    from hookframe.instrumenting.family import Family
    from hookframe.instrumenting.instrument import instrument
    from hookframe.instrumenting.instrumented_model import InstrumentedModel
    from hookframe.plan.hook_plan import HookPlan
    from hookframe.proving.leaks import no_leaks
    from hookframe.proving.noop import check_noop
    from hookframe.scanning.report import ScanReport
    from hookframe.scanning.scan import scan

_PLACES = {
    "hookframe.admission.decision": ("Decision",),
    "hookframe.admission.objection": ("Action", "Objection"),
    "hookframe.admission.family": ("ModelFamily",),
    "hookframe.admission.request": (
        "CacheRequest",
        "DeviceRequest",
        "FunctionInfo",
        "HookRequest",
        "ResetRequest",
        "RunRequest",
    ),
    "hookframe.core.activation_cache": ("ActivationCache",),
    "hookframe.core.effects": ("read_only",),
    "hookframe.core.handles": ("HookHandle",),
    "hookframe.core.hook_point": ("HookPoint",),
    "hookframe.core.introspection": ("HookIntrospectionMixin",),
    "hookframe.core.return_guard": ("guarded",),
    "hookframe.core.root_module": ("HookedRootModule",),
    "hookframe.core.slicing": ("Slice", "SliceInput"),
    "hookframe.core.types": ("DeviceType", "HookFunction", "NamesFilter"),
    "hookframe.errors": (
        "ActivationShapeError",
        "CacheFileError",
        "CacheTooLarge",
        "CaptureInputError",
        "EditNotRecomputedWarning",
        "EstimateError",
        "ExportError",
        "HookRecomputedWarning",
        "HookReturnError",
        "InvalidPlan",
        "UnknownActivation",
        "ActivationTypeError",
        "CannotInstrument",
        "GradientError",
        "HookDenied",
        "HookDidNotFireWarning",
        "HookEffectError",
        "HookObjectionWarning",
        "HookPointClosed",
        "HookPointMoved",
        "HookframeError",
        "HookframeWarning",
        "HooksExportedWarning",
        "HooksLeaked",
        "HooksLostWarning",
        "HooksNotAdmitted",
        "InstrumentReleased",
        "InvalidDirection",
        "InvalidHookFunction",
        "InvalidJournal",
        "InvalidLoadingRules",
        "InvalidNamesFilter",
        "InvalidObjection",
        "InvalidWireData",
        "JournalError",
        "MissingExtra",
        "ModelNotLoaded",
        "NestedAdmission",
        "NoopCheckFailed",
        "NotAHookPoint",
        "NotSetUp",
        "PluginError",
        "PluginNameError",
        "PluginRejected",
        "PolicyError",
        "ReplicaCacheError",
        "StaleActivationWarning",
        "UnknownFamily",
        "UnknownHookPoint",
    ),
    "hookframe.hookspecs": ("hookimpl",),
    "hookframe.host.running.manager": ("PluginManager",),
    "hookframe.host.running.using": ("use_plugins",),
    "hookframe.scanning.report": ("ScanReport",),
    "hookframe.scanning.scan": ("scan",),
    "hookframe.plan.hook_plan": ("HookPlan",),
    "hookframe.proving.leaks": ("no_leaks",),
    "hookframe.proving.noop": ("check_noop",),
    "hookframe.instrumenting.family": ("Family",),
    "hookframe.instrumenting.instrument": ("instrument",),
    "hookframe.instrumenting.instrumented_model": ("InstrumentedModel",),
}
_HOME = {name: module for module, names in _PLACES.items() for name in names}
_ALIASES = {"LensHandle": "HookHandle"}

__all__ = [
    "Action",
    "ActivationCache",
    "ActivationShapeError",
    "ActivationTypeError",
    "CacheFileError",
    "CacheRequest",
    "CacheTooLarge",
    "CannotInstrument",
    "CaptureInputError",
    "Decision",
    "DeviceRequest",
    "DeviceType",
    "EditNotRecomputedWarning",
    "EstimateError",
    "ExportError",
    "Family",
    "FunctionInfo",
    "GradientError",
    "HookDenied",
    "HookDidNotFireWarning",
    "HookEffectError",
    "HookFunction",
    "HookHandle",
    "HookIntrospectionMixin",
    "HookObjectionWarning",
    "HookPlan",
    "HookPoint",
    "HookPointClosed",
    "HookPointMoved",
    "HookRecomputedWarning",
    "HookRequest",
    "HookReturnError",
    "HookedRootModule",
    "HookframeError",
    "HookframeWarning",
    "HooksExportedWarning",
    "HooksLeaked",
    "HooksLostWarning",
    "HooksNotAdmitted",
    "InstrumentReleased",
    "InstrumentedModel",
    "InvalidDirection",
    "InvalidHookFunction",
    "InvalidJournal",
    "InvalidLoadingRules",
    "InvalidNamesFilter",
    "InvalidObjection",
    "InvalidPlan",
    "InvalidWireData",
    "JournalError",
    "LensHandle",
    "MissingExtra",
    "ModelFamily",
    "ModelNotLoaded",
    "NamesFilter",
    "NestedAdmission",
    "NoopCheckFailed",
    "NotAHookPoint",
    "NotSetUp",
    "Objection",
    "PluginError",
    "PluginManager",
    "PluginNameError",
    "PluginRejected",
    "PolicyError",
    "ReplicaCacheError",
    "ResetRequest",
    "RunRequest",
    "ScanReport",
    "Slice",
    "SliceInput",
    "StaleActivationWarning",
    "UnknownActivation",
    "UnknownFamily",
    "UnknownHookPoint",
    "__version__",
    "check_noop",
    "guarded",
    "hookimpl",
    "instrument",
    "no_leaks",
    "read_only",
    "scan",
    "use_plugins",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(_ALIASES.get(name, name))
    if home is None:
        raise AttributeError(f"module 'hookframe' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), _ALIASES.get(name, name))
    globals()[name] = value
    return value


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
    capture="hookframe.capture.capturing:capture",
    load_cache="hookframe.capture.saving:load_cache",
    save_cache="hookframe.capture.saving:save_cache",
)
