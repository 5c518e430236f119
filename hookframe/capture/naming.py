"""From what people write for the points of a capture or a plan, globs among it, to hook points."""

from __future__ import annotations

from collections.abc import Collection

from hookframe.admission.globs import Glob
from hookframe.core.lookup import is_glob
from hookframe.core.named_model import NamedModel
from hookframe.core.names import Selected, SweptName, unknown_point
from hookframe.core.types import NamesFilter

__all__ = ["named_points", "names_of"]


def named_points(root: NamedModel, names: NamesFilter) -> list[Selected]:
    """The points that ``names`` means: as for ``run_with_cache``, and each name may be a glob on its dotted parts.

    :raises UnknownHookPoint: if a name is not there, or a glob matches none.
    """
    if isinstance(names, str):
        names = [names]
    if (
        callable(names)
        or not isinstance(names, Collection)
        or not any(isinstance(n, str) and is_glob(n) for n in names)
    ):
        return root.select_points(names)
    wanted: dict[str, str] = {}
    for name in names:
        found = root.select_points(Glob(name).matches if is_glob(name) else name)
        if not found:
            raise unknown_point(name, root.hook_dict)
        for selected in found:
            if selected.exact or selected.name not in wanted:
                wanted[selected.name] = selected.name if selected.exact else SweptName(selected.name)
    return root.select_points(list(wanted.values()))


def names_of(selected: Collection[Selected]) -> list[str]:
    """The names of points for the verbs of the model, which remember whether a person wrote them."""
    return [point.name if point.exact else SweptName(point.name) for point in selected]
