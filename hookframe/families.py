"""What a plugin needs to describe a family of models: the family, its places, its checks, and a probe that tries them.

The names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.instrumenting.checks import (
        EXACT,
        Applies,
        Equation,
        Mixes,
        RowsSumToOne,
        Scores,
        SumOfHeads,
        Sums,
        Turns,
        UnitScale,
        relative,
    )
    from hookframe.instrumenting.choosing import families_in_force, family_for, family_named
    from hookframe.instrumenting.family import Check, Family, Gate, NameMap, Probe, config_of
    from hookframe.instrumenting.place import At, Inner, Part, inner, into, out
    from hookframe.instrumenting.probing import ProbeFinding, Probing, probe, probe_input

__all__ = [
    "EXACT",
    "Applies",
    "At",
    "Check",
    "Equation",
    "Family",
    "Gate",
    "Inner",
    "Mixes",
    "NameMap",
    "Part",
    "Probe",
    "ProbeFinding",
    "Probing",
    "RowsSumToOne",
    "Scores",
    "SumOfHeads",
    "Sums",
    "Turns",
    "UnitScale",
    "config_of",
    "families_in_force",
    "family_for",
    "family_named",
    "inner",
    "into",
    "out",
    "probe",
    "probe_input",
    "relative",
]

__getattr__, __dir__ = lend(
    __name__,
    {
        "Applies": "hookframe.instrumenting.checks",
        "At": "hookframe.instrumenting.place",
        "Check": "hookframe.instrumenting.family",
        "EXACT": "hookframe.instrumenting.checks",
        "Equation": "hookframe.instrumenting.checks",
        "Family": "hookframe.instrumenting.family",
        "Gate": "hookframe.instrumenting.family",
        "Inner": "hookframe.instrumenting.place",
        "Mixes": "hookframe.instrumenting.checks",
        "NameMap": "hookframe.instrumenting.family",
        "Part": "hookframe.instrumenting.place",
        "Probe": "hookframe.instrumenting.family",
        "ProbeFinding": "hookframe.instrumenting.probing",
        "Probing": "hookframe.instrumenting.probing",
        "RowsSumToOne": "hookframe.instrumenting.checks",
        "Scores": "hookframe.instrumenting.checks",
        "SumOfHeads": "hookframe.instrumenting.checks",
        "Sums": "hookframe.instrumenting.checks",
        "Turns": "hookframe.instrumenting.checks",
        "UnitScale": "hookframe.instrumenting.checks",
        "config_of": "hookframe.instrumenting.family",
        "families_in_force": "hookframe.instrumenting.choosing",
        "family_for": "hookframe.instrumenting.choosing",
        "family_named": "hookframe.instrumenting.choosing",
        "inner": "hookframe.instrumenting.place",
        "into": "hookframe.instrumenting.place",
        "out": "hookframe.instrumenting.place",
        "probe": "hookframe.instrumenting.probing",
        "probe_input": "hookframe.instrumenting.probing",
        "relative": "hookframe.instrumenting.checks",
    },
)
