"""A family of models, as the host and the policy see it: a name, and how to recognise one of its models."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = ["ModelFamily"]


@runtime_checkable
class ModelFamily(Protocol):
    """What a plugin's ``hookframe_model_families`` returns; a family may have more members than these."""

    @property
    def name(self) -> str:
        """How policies and people call the family: ``"llama"``, ``"gpt2"``."""

    def matches(self, model: Any) -> bool:
        """True if ``model`` is one of the family. Looks at its configuration and modules, and runs nothing."""
