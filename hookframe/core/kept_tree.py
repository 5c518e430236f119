"""The tree of a model that is made for hookframe: points are pinned, and what follows from the tree is kept with it.

What a filter of names means, and the planned hooks of operations that are over, go with the tree when it is read anew.
"""

from __future__ import annotations

from torch import nn

from hookframe.core.hook_point import HookPoint
from hookframe.core.kept_points import KeptPoints
from hookframe.core.pins import pin_points
from hookframe.core.points_made import points_made
from hookframe.core.tree import ModuleTree
from hookframe.core.versions import ChildTables

__all__ = ["KeptTree"]


class KeptTree(ModuleTree, KeptPoints):
    """What ``setup()`` read.

    Reading it pins the hook points in their parents.
    """

    points: dict[str, HookPoint]

    def __init__(self, root: nn.Module) -> None:
        ModuleTree.__init__(self, root)
        KeptPoints.__init__(self, self.points, self.modules)

    def _watch(self, parents: list[nn.Module]) -> None:
        super()._watch(parents)
        root = self._root()
        for module in self.modules.values() if root is None else (root, *self.modules.values()):
            if not isinstance(module, HookPoint):
                pin_points(module)
        self._watch_tables()

    def _watch_tables(self) -> None:
        root = self._root()
        self._made = points_made.number
        self._of_root_then = None if root is None else root._modules
        self._tables = ChildTables([parent for parent, _ in self._children], root)

    def has_no_new_point(self) -> bool:
        """True if no point was made since it was read, or found to be current."""
        return points_made.number == self._made

    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since."""
        root = self._root()
        same = points_made.number == self._made and root is not None and root.__dict__["_modules"] is self._of_root_then
        if same and self._tables.are_untouched():
            return True
        if not ModuleTree.is_current(self):
            return False
        self._watch_tables()
        return True
