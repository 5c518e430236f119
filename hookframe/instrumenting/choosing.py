"""Which family a model is of, among those that the installed plugins provide."""

from __future__ import annotations

import difflib
import logging
from typing import Any

from hookframe.admission.controller import current_controller
from hookframe.errors import UnknownFamily
from hookframe.host.running.manager import PluginManager
from hookframe.instrumenting.adding_up import added_up
from hookframe.instrumenting.family import Family

__all__ = ["families_in_force", "family_for", "family_named"]

logger = logging.getLogger("hookframe")


def families_in_force() -> list[Family]:
    """The families that plugins provide now, sorted by name; what several plugins say of one family is added up.

    Other kinds of description are left out.

    :raises FamilyConflict: if two plugins contradict each other.
    """
    manager = current_controller()
    parts: dict[str, list[tuple[str, Family]]] = {}
    for plugin, family in manager.families_by_plugin() if isinstance(manager, PluginManager) else ():
        if isinstance(family, Family):
            parts.setdefault(family.name, []).append((plugin, family))
    return [added_up(parts[name]) for name in sorted(parts)]


def family_for(model: Any) -> Family | None:
    """The family that recognises ``model``; None if none does.

    If several do, the most specific one is chosen: the family with the fewest model types.
    """
    fitting = [family for family in families_in_force() if family.matches(model)]
    if not fitting:
        return None
    chosen = min(fitting, key=lambda family: (len(family.model_types), family.name))
    if len(fitting) > 1:
        names = ", ".join(family.name for family in fitting)
        logger.warning("several families recognise this model (%s): %s is used", names, chosen.name)
    return chosen


def family_named(name: str) -> Family:
    """The family called ``name``.

    :raises UnknownFamily: if no plugin provides it.
    """
    families = {family.name: family for family in families_in_force()}
    if name in families:
        return families[name]
    near = difflib.get_close_matches(name, families, n=3)
    known = f"did you mean {', '.join(map(repr, near))}?" if near else f"known are {sorted(families)}"
    hint = known if families else "no plugin provides any: install hookframe-families"
    raise UnknownFamily(f"there is no model family {name!r}: {hint}")
