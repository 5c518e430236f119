"""Where activations come from: the model, and the plugins and the policy that were in force."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hookframe.admission.controller import AdmissionController
from hookframe.capture.manifest import ModelFacts, plain
from hookframe.host.manager import PluginManager
from hookframe.host.record import PluginState
from hookframe.policy.engine import PolicyEngine
from hookframe.policy.governing import NAME

__all__ = ["model_facts", "plugins_digest", "policy_digest"]

_CONFIGS = ("config", "cfg")  # Hugging Face's name for it, and TransformerLens's
_IDS = ("_name_or_path", "model_name")


def model_facts(model: Any) -> ModelFacts:
    """What ``model`` says of itself; ``"?"`` for None."""
    if model is None:
        return ModelFacts(kind="?")
    configs = [config for name in _CONFIGS if (config := getattr(model, name, None)) is not None]
    ids = [text for config in configs for name in _IDS if (text := plain(getattr(config, name, None)))]
    revisions = [text for config in configs if (text := plain(getattr(config, "_commit_hash", None)))]
    return ModelFacts(
        kind=type(getattr(model, "forward_module", model)).__name__,
        id=next(iter(ids), None),
        revision=next(iter(revisions), None),
    )


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
