"""Where activations come from: the model, and the plugins and the policy that were in force."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import torch

from hookframe.admission.controller import AdmissionController
from hookframe.capture.manifest import ModelRecord
from hookframe.host.installed.record import PluginState
from hookframe.host.running.manager import PluginManager
from hookframe.policy.in_force.engine import PolicyEngine
from hookframe.policy.in_force.governing import NAME

__all__ = ["model_facts", "plugins_digest", "policy_digest"]

_CONFIGS = ("config", "cfg")  # Hugging Face's name for it, and TransformerLens's
_IDS = ("_name_or_path", "model_name")
_HUB = re.compile(r"[A-Za-z0-9][\w.-]{0,127}(/[A-Za-z0-9][\w.-]{0,127})?")
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]{0,127}")


def model_facts(model: Any) -> ModelRecord:
    """What ``model`` says of itself; ``"?"`` for None.

    A model that was loaded from a directory or a file is told by a digest of its configuration: paths say something of the
    machine, and nothing of the model.
    """
    if model is None:
        return ModelRecord(kind="?")
    kind = type(getattr(model, "forward_module", model)).__name__
    configs = [config for name in _CONFIGS if (config := getattr(model, name, None)) is not None]
    for config in configs:
        for name in _IDS:
            known_as = getattr(config, name, None)
            if _is_on_hub(known_as):
                revision = getattr(config, "_commit_hash", None)
                whole = isinstance(revision, str) and _REVISION.fullmatch(revision)
                return ModelRecord(kind=kind, id=known_as, revision=revision if whole else None)
    return ModelRecord(kind=kind, config=_config_digest(configs[0]) if configs else None)


def _is_on_hub(known_as: Any) -> bool:
    """True for what may be a name on a hub, ``gpt2`` or ``org/name``, and is nothing that is on this machine."""
    return isinstance(known_as, str) and bool(_HUB.fullmatch(known_as)) and not os.path.lexists(known_as)


def _config_digest(config: Any) -> str | None:
    """A digest of the values of a configuration, without those that say where it came from; None if it has none."""
    try:
        values = config.to_dict() if callable(getattr(config, "to_dict", None)) else vars(config)
    except TypeError:  # an object without attributes
        return None
    text = json.dumps(_plain({key: values[key] for key in values if not _is_about_loading(key)}), sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _is_about_loading(key: Any) -> bool:
    return str(key).startswith("_") or key in ("transformers_version", *_IDS)


def _plain(value: Any) -> Any:
    """A value of a configuration as JSON has it; another kind by the name of its class, as its text may hold an address."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value) if isinstance(value, (torch.dtype, torch.device)) else type(value).__name__


def plugins_digest(controller: AdmissionController) -> str | None:
    """A digest of the plugins at work: their names, versions and entry points; None for a controller without plugins."""
    if not isinstance(controller, PluginManager):
        return None
    loaded = [(r.name, r.version, r.entry_point) for r in controller.records if r.state is PluginState.LOADED]
    return f"sha256:{hashlib.sha256(json.dumps(loaded).encode()).hexdigest()}"


def policy_digest(controller: AdmissionController) -> str | None:
    """The digest of the policy that ``controller`` asks; None without one."""
    engine = controller.plugin(NAME) if isinstance(controller, PluginManager) else None
    return engine.policy.digest if isinstance(engine, PolicyEngine) else None
