"""A model's modules by name: read once in ``setup()``, and compared with the model before it is relied on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from hookframe.core.hook_point import HookPoint

__all__ = ["ModuleTree"]

_GIVEN = "_hookframe_name"  # the name that hookframe gave a module, to tell it from a name of the module's own


@dataclass(frozen=True, slots=True)
class ModuleTree:
    """What ``setup()`` read.

    :ivar modules: dotted name → module, the root left out, in the model's order. A module that is registered under two
        names is there twice.
    :ivar points: the hook points among them.
    :ivar names: id of a point → its first name here.
    :ivar children: each module with children, and its children as they were.
    """

    modules: dict[str, nn.Module]
    points: dict[str, HookPoint]
    names: dict[int, str]
    children: tuple[tuple[nn.Module, dict[str, nn.Module | None]], ...]

    @classmethod
    def read(cls, root: nn.Module) -> ModuleTree:
        """Read the modules below ``root``; changes nothing."""
        modules = dict(_walk(root, "", ()))
        points = {name: module for name, module in modules.items() if isinstance(module, HookPoint)}
        names: dict[int, str] = {}
        for name, point in points.items():
            names.setdefault(id(point), name)
        parents = {id(module): module for module in (root, *modules.values()) if module._modules}
        return cls(modules, points, names, tuple((m, dict(m._modules)) for m in parents.values()))

    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since. Linear in the modules, but for hook points."""
        return all(module._modules == children for module, children in self.children)

    def still_has(self, root: nn.Module, name: str) -> bool:
        """True if ``name`` still leads to the same hook point. Linear in the depth alone."""
        module: nn.Module | None = root
        for part in name.split("."):
            module = None if module is None else module._modules.get(part)
        return module is not None and module is self.points.get(name)

    def give_names(self) -> None:
        """Set ``.name`` on each module: its first name here. A ``name`` that is the module's own stays."""
        seen: set[int] = set()
        for name, module in self.modules.items():
            if id(module) not in seen:
                seen.add(id(module))
                _give_name(module, name)


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
