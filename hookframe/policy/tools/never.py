"""Words of a policy that no model has: families, kinds of device and points that exist nowhere, with what is near."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hookframe.admission.family import ModelFamily
from hookframe.admission.globs import Glob
from hookframe.policy.files.mistakes import near
from hookframe.policy.language.conditions import Comparison, Condition, Not
from hookframe.policy.language.vocabulary import POINT_FACTS

__all__ = ["unknown_points", "unknown_words"]

_DEVICES = (
    "cpu",
    "cuda",
    "hpu",
    "ipu",
    "lazy",
    "maia",
    "meta",
    "mps",
    "mtia",
    "npu",
    "privateuseone",
    "vulkan",
    "xla",
    "xpu",
)
_LAYERS = ("0", "1", "7", "12", "23")  # a name map says {i}: these stand for it
_PROVIDED = " Name the plugin that knows another one in [families] require"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def unknown_words(condition: Condition, families: Sequence[ModelFamily]) -> Iterator[str]:
    """What is said of families and kinds of device that there are not.

    :param families: those that plugins know; none to say nothing of families.
    """
    names = sorted({family.name for family in families})
    for comparison in _comparisons(condition):
        known: Sequence[str] = {"family": names, "device.type": _DEVICES}.get(comparison.path, ())
        for value in _values(comparison) if known and comparison.operator not in ("glob", "exists") else ():
            if value not in known:
                what = "family" if comparison.path == "family" else "kind of device"
                yield f"no {what} is called {value!r}: {near(value, known)}{_PROVIDED if names is known else ''}"


def unknown_points(
    condition: Condition, families: Sequence[ModelFamily], points: Sequence[str] | None
) -> Iterator[str]:
    """What is said of globs that match no name of a family, and none of ``points``.

    Without ``points`` only globs are told of in which a part is like one of a canonical name, and is none.
    """
    canonical = _canonical(families)
    parts = {part for name in canonical for part in name.split(".")}
    for pattern in dict.fromkeys(p for comparison in _comparisons(condition) for p in _patterns(comparison)):
        if any(map(Glob(pattern).matches, (*canonical, *(points or ())))):
            continue
        if points is not None:
            besides = ", and no name of a family" if families else ""
            yield f"{pattern!r} matches none of the {len(points)} points{besides}{_nearest(pattern, (*points, *canonical))}"
            continue
        for part in pattern.split("."):
            close = difflib.get_close_matches(part, parts, n=1, cutoff=0.88) if _PLAIN.fullmatch(part) else []
            if close and part not in parts:
                yield (
                    f"{pattern!r} matches no name of a family: did you mean {close[0]!r} for {part!r}? "
                    "Give --against MODEL if it is the name of a module"
                )
                break


def _comparisons(condition: Condition) -> Iterator[Comparison]:
    if isinstance(condition, Comparison):
        yield condition
        return
    for part in (condition.part,) if isinstance(condition, Not) else condition.parts:
        yield from _comparisons(part)


def _values(comparison: Comparison) -> list[str]:
    return [*map(str, comparison.value if isinstance(comparison.value, tuple) else (comparison.value,))]


def _patterns(comparison: Comparison) -> Iterable[str]:
    return _values(comparison) if comparison.path in POINT_FACTS and comparison.operator != "exists" else ()


def _canonical(families: Sequence[Any]) -> list[str]:
    """Names of the families' name maps, with some layers filled in; a family without such a map has none."""
    names = {name for family in families for name in getattr(family, "names", ())}
    return sorted({re.sub(r"\{[^}]*\}", layer, name) for name in names for layer in _LAYERS})


def _nearest(pattern: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(pattern, names, n=2, cutoff=0.5)
    return f": near are {' and '.join(map(repr, close))}" if close else ""
