"""The one way to put hook points on a model from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hookframe.core.verbs.root_module import HookedRootModule
from hookframe.errors import CannotInstrument
from hookframe.instrumenting.choosing import family_named
from hookframe.instrumenting.family import Family
from hookframe.instrumenting.inert import without_inert
from hookframe.instrumenting.instrumented_model import InstrumentedModel

if TYPE_CHECKING:
    from hookframe.core.values.types import NamesFilter

__all__ = ["instrument"]


def instrument(model: nn.Module, points: NamesFilter = None, family: Family | str | None = None) -> InstrumentedModel:
    """Hook points on ``model``, which is neither copied nor changed: no torch hook is on it until a function is attached.

    Each module has a point at its input and one at its output, ``model.layers.3.mlp.hook_in`` and ``.hook_out``. A family
    adds canonical names, ``blocks.3.hook_mlp_out``.

    :param points: which points to have: None for all, a name, a glob, a list of these, or a predicate on names.
    :param family: a family, or the name of one that a plugin provides, whose names come in addition to those of the families
        that recognise the model, or a model in it; None for these alone.
    :returns: the model with the verbs of a :class:`~hookframe.HookedRootModule`. Undo it with its ``release()``, or use it
        as a context manager.
    :raises CannotInstrument: if ``model`` is no torch module, is scripted, or has hook points of hookframe's already; or if
        the family that is given by its name names nothing in it.
    :raises FamilyConflict: if two plugins give one name of a family to two places.
    :raises UnknownFamily: if no plugin provides a family of that name.
    :raises UnknownHookPoint: if ``points`` names one that the model does not have, or is a glob that matches none.
    """
    _check(model)
    named = family if isinstance(family, str) else None
    if isinstance(family, str):
        family = family_named(family)
    without_inert(model)
    hooked = InstrumentedModel(model, family, points)
    if named is not None and points is None and not _has_canonical_names(hooked):
        raise CannotInstrument(
            f"family {named!r} names no place in this {type(model).__name__}: leave family out to have it recognised, "
            "or see 'hookframe families list'"
        )
    return hooked


def _has_canonical_names(hooked: InstrumentedModel) -> bool:
    places = ["", *(f"{name}." for name in hooked.mod_dict)]
    own = {f"{place}hook_{side}" for place in places for side in ("in", "out")}
    return not own.issuperset(hooked.hook_dict)


def _check(model: Any) -> None:
    if isinstance(model, HookedRootModule):
        raise CannotInstrument(
            f"this {type(model).__name__} has hook points already: use its own verbs"
            + (", or instrument its .wrapped model again" if isinstance(model, InstrumentedModel) else "")
        )
    if not isinstance(model, nn.Module):
        raise CannotInstrument(f"a {type(model).__name__} is no torch.nn.Module: give the model itself")
    if isinstance(model, torch.jit.ScriptModule):
        raise CannotInstrument(
            f"this {type(model).__name__} is scripted, and its modules run no Python: instrument the model that it was made from"
        )
