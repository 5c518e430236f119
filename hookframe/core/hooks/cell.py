"""The cell that holds what a hook point runs, the lock that guards it, and its mirror for torch.compile.

Who writes: :func:`store`, and the loops of ``fast_path.bulk``, both while they hold :data:`lock`. Who reads: every call of a
point, without the lock. Once torch.compile has traced a point, each write goes to the point's ``__dict__["_traced"]`` as well,
since a guard on an entry of a dict is the cheapest one that it has.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from hookframe.core.torch_compat.dynamo import run_while_traced, tracing

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Point

__all__ = ["Cell", "begin_tracing", "expect_tracing", "lock", "store"]

lock = threading.RLock()
"""Held while what points run changes, and while a count of open contexts does; running models read both without."""
_untraced: WeakSet[Any] = WeakSet()  # every point, as long as torch.compile has traced none


class Cell:
    """Holds what one point runs: something with ``fire``, or None.

    It is not an attribute of the point, because setting an attribute of a torch module costs a hundred nanoseconds or more.
    """

    __slots__ = ("plan",)

    def __init__(self) -> None:
        self.plan: Any = None


def store(point: Point, plan: Any) -> None:
    """Let ``point`` run ``plan``."""
    point._cell.plan = plan
    if tracing.begun:
        point.__dict__["_traced"] = plan


def expect_tracing(point: Point) -> None:
    """Register a new point."""
    with lock:
        if not tracing.begun:
            _untraced.add(point)


@run_while_traced
def begin_tracing() -> None:
    """Write what each point runs where torch.compile looks; :func:`store` does so from then on.

    This covers all points, since code compiled for one module also serves others of its class, which are never traced.
    """
    with lock:
        if not tracing.begun:
            tracing.begun = True
            for point in _untraced:
                point.__dict__["_traced"] = point._plan
            _untraced.clear()
