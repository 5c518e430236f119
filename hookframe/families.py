"""What a plugin needs to describe a family of models: the family, its places, its checks, and a probe that tries them.

The names are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.instrumenting.checks import EXACT as EXACT
    from hookframe.instrumenting.checks import Applies as Applies
    from hookframe.instrumenting.checks import Equation as Equation
    from hookframe.instrumenting.checks import Mixes as Mixes
    from hookframe.instrumenting.checks import RowsSumToOne as RowsSumToOne
    from hookframe.instrumenting.checks import Scores as Scores
    from hookframe.instrumenting.checks import SumOfHeads as SumOfHeads
    from hookframe.instrumenting.checks import Sums as Sums
    from hookframe.instrumenting.checks import Turns as Turns
    from hookframe.instrumenting.checks import UnitScale as UnitScale
    from hookframe.instrumenting.checks import relative as relative
    from hookframe.instrumenting.choosing import families_in_force as families_in_force
    from hookframe.instrumenting.choosing import family_for as family_for
    from hookframe.instrumenting.choosing import family_named as family_named
    from hookframe.instrumenting.family import Check as Check
    from hookframe.instrumenting.family import Family as Family
    from hookframe.instrumenting.family import Gate as Gate
    from hookframe.instrumenting.family import NameMap as NameMap
    from hookframe.instrumenting.family import Probe as Probe
    from hookframe.instrumenting.family import config_of as config_of
    from hookframe.instrumenting.place import At as At
    from hookframe.instrumenting.place import Inner as Inner
    from hookframe.instrumenting.place import Part as Part
    from hookframe.instrumenting.place import inner as inner
    from hookframe.instrumenting.place import into as into
    from hookframe.instrumenting.place import out as out
    from hookframe.instrumenting.probing import ProbeFinding as ProbeFinding
    from hookframe.instrumenting.probing import Probing as Probing
    from hookframe.instrumenting.probing import probe as probe
    from hookframe.instrumenting.probing import probe_input as probe_input

__getattr__, __dir__, __all__ = lend(__name__)
