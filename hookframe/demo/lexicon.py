"""Words and sentence patterns of the demo reports, from ``lexicon.toml``, which says what they are."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any, NamedTuple

__all__ = ["BOUND", "BRIGHT", "FREE", "GLOOMY", "PEOPLE", "TOPICS", "Topic"]


class Topic(NamedTuple):
    """What a report is made of: one opening, one to three different middles, one closing."""

    openings: tuple[str, ...]
    middles: tuple[str, ...]
    closings: tuple[str, ...]


def _table(table: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(words) for key, words in table.items()}


_READ: dict[str, Any] = tomllib.loads(files("hookframe.demo").joinpath("lexicon.toml").read_text(encoding="utf-8"))
PEOPLE: tuple[tuple[str, str, str], ...] = tuple(map(tuple, _READ["people"]))
BOUND, FREE, BRIGHT, GLOOMY = (_table(_READ[name]) for name in ("bound", "free", "bright", "gloomy"))
TOPICS = {name: Topic(**_table(parts)) for name, parts in _READ["topics"].items()}
