"""The root of a model with hook points."""

from __future__ import annotations

from hookframe.core.adding import AddingVerbs
from hookframe.core.caching import CachingVerbs
from hookframe.core.higher_verbs import HigherVerbs
from hookframe.core.introspection import HookIntrospectionMixin
from hookframe.core.resetting import ResettingVerbs
from hookframe.core.running import RunningVerbs

__all__ = ["HookedRootModule"]


class HookedRootModule(HookIntrospectionMixin, AddingVerbs, CachingVerbs, RunningVerbs, ResettingVerbs, HigherVerbs):
    """A model with hook points: the verbs that add, run with, cache and remove hooks, capture, and apply plans.

    Subclasses call :meth:`setup` at the end of their ``__init__``. Each verb has its own file; what they share is
    :class:`~hookframe.core.named_model.NamedModel`.
    """
