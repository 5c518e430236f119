"""A model's modules by name: read once, and compared with the model before that is relied on."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Self

from torch import nn

from hookframe.core.hook_point import HookPoint
from hookframe.core.versions import CONTAINERS

__all__ = ["ModuleTree"]

_GIVEN = "_hookframe_name"  # the name that hookframe gave a module, to tell it from a name of the module's own


class ModuleTree:
    """What is below one module. Reading it changes nothing.

    :ivar modules: dotted name → module, the root left out, in the model's order. A module that is registered under two
        names is there twice.
    :ivar points: the hook points among them.
    :ivar names: id of a point → its first name here.
    """

    def __init__(self, root: nn.Module) -> None:
        self._root = weakref.ref(root)  # it holds the tree, which must not hold it
        self.modules: dict[str, nn.Module] = dict(_walk(root, "", ()))
        points = {name: module for name, module in self.modules.items() if isinstance(module, HookPoint)}
        self.points: dict[str, HookPoint] = points
        self.names: dict[int, str] = {}
        for name, point in points.items():
            self.names.setdefault(id(point), name)
        self._watch(self._parents())

    @classmethod
    def read(cls, root: nn.Module) -> Self:
        """Read the modules below ``root``."""
        return cls(root)

    def _parents(self) -> list[nn.Module]:
        """The modules that have children, or may get some, the root apart."""
        return list({id(module): module for module in self.modules.values() if _is_parent(module)}.values())

    def _watch(self, parents: list[nn.Module]) -> None:
        self._children = [(parent, dict(parent._modules)) for parent in parents]
        root = self._root()
        self._of_root = {} if root is None else dict(root._modules)
        watched = set(map(id, parents))
        self._leaves = [m for m in self.modules.values() if id(m) not in watched and not isinstance(m, HookPoint)]

    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since. Linear in the modules, but for hook points."""
        root = self._root()
        if root is None or root._modules != self._of_root:
            return False
        if any(leaf._modules for leaf in self._leaves):
            return False
        return all(parent._modules == children for parent, children in self._children)

    def give_names(self) -> None:
        """Set ``.name`` on each module: its first name here. A ``name`` that is the module's own stays."""
        seen: set[int] = set()
        for name, module in self.modules.items():
            if id(module) not in seen:
                seen.add(id(module))
                _give_name(module, name)


def _is_parent(module: nn.Module) -> bool:
    """True if it has children, or is of somebody's own class or made to have some; torch's others, the most, get none."""
    own = not isinstance(module, HookPoint) and not type(module).__module__.startswith("torch.")
    return bool(module._modules) or own or isinstance(module, CONTAINERS)


def _give_name(module: nn.Module, name: str) -> None:
    given = module.__dict__.get(_GIVEN)
    own = getattr(type(module), "name", None) is not None or ("name" in module.__dict__ and module.name != given)
    if isinstance(module, HookPoint):
        module.be_named(name)
    elif not own:
        module.__dict__.update({"name": name, _GIVEN: name})


def _walk(module: nn.Module, prefix: str, above: tuple[nn.Module, ...]) -> Iterator[tuple[str, nn.Module]]:
    for part, child in module._modules.items():
        if child is None or child in above:
            continue
        name = f"{prefix}{part}"
        yield name, child
        if not isinstance(child, HookPoint):
            yield from _walk(child, f"{name}.", (*above, module))
