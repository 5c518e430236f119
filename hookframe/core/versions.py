"""Says when a dict was changed, by a number."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from torch import nn

__all__ = ["children_versions", "dict_version"]

try:
    # made for torch's compiler: an order of magnitude cheaper than comparing
    from torch._C._dynamo.guards import dict_version
except ImportError:  # another torch: each look finds a new number, and compares
    _numbers = itertools.count()

    def dict_version(d: dict[Any, Any]) -> int:
        """No version that any dict had before."""
        return next(_numbers)


_children = attrgetter("_modules")


def children_versions(modules: Iterable[nn.Module]) -> list[int]:
    """A number for the table of children of each of ``modules``; while it is the same, so are they."""
    return list(map(dict_version, map(_children, modules)))
