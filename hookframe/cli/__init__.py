"""The ``hookframe`` command: one file for each verb. It renders, and decides nothing.

Plugins that add verbs may use the names below; they are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.cli.lazy import LazyVerbs as LazyVerbs
    from hookframe.cli.table import print_table as print_table

__getattr__, __dir__, __all__ = lend(__name__)
