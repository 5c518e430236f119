"""The table of a module's children, which notices changes; and hook points that need no look-up in it.

``self.hook_q`` on a torch module is found by ``nn.Module.__getattr__``, after everything else has failed: several times
what calling an idle hook point costs. So ``setup()`` puts each point into its parent's own ``__dict__`` as well. Whatever
then happens to the table of children, happens to that entry.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from torch import nn

__all__ = ["GuardedModules", "pin"]

_Children = "dict[str, nn.Module | None]"


class GuardedModules(dict[str, "nn.Module | None"]):
    """Stands in for ``module._modules``; equal to the dict it was made from.

    :cvar changes: counts what was added, replaced or deleted in all such tables of the process, so that "nothing has
        changed" can be seen at a glance.
    """

    __slots__ = ("_module",)
    changes: ClassVar[int] = 0

    def __init__(self, module: nn.Module, children: Mapping[str, nn.Module | None] | None = None) -> None:
        super().__init__(children or {})
        self._module = weakref.ref(module)

    @classmethod
    def guard(cls, module: nn.Module) -> GuardedModules | None:
        """Make sure that the children of ``module`` are guarded; None if it keeps them in a table of its own kind."""
        children = module._modules
        if isinstance(children, GuardedModules) and children._module() is module:
            return children
        if type(children) not in (dict, GuardedModules):
            return None
        guarded = cls(module, children)
        module.__dict__["_modules"] = guarded
        return guarded

    def _changed(self, names: Iterable[str]) -> None:
        GuardedModules.changes += 1
        module = self._module()
        if module is not None:
            for name in names:
                unpin(module, name)

    def __setitem__(self, name: str, child: nn.Module | None) -> None:
        super().__setitem__(name, child)
        self._changed((name,))

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._changed((name,))

    def pop(self, name: str, *default: Any) -> Any:
        """As in a dict."""
        child = super().pop(name, *default)
        self._changed((name,))
        return child

    def popitem(self) -> tuple[str, nn.Module | None]:
        """As in a dict."""
        name, child = super().popitem()
        self._changed((name,))
        return name, child

    def clear(self) -> None:
        """As in a dict."""
        names = [*self]
        super().clear()
        self._changed(names)

    def update(self, *others: Any, **named: Any) -> None:
        """As in a dict."""
        before = dict(self)
        super().update(*others, **named)
        self._changed([name for name, child in self.items() if before.get(name) is not child])

    def setdefault(self, name: str, default: nn.Module | None = None) -> nn.Module | None:
        """As in a dict."""
        if name not in self:
            self[name] = default
        return self[name]

    def __ior__(self, other: Any) -> GuardedModules:  # type: ignore[override,misc]  # as dict's, but of this class
        self.update(other)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # the module comes first, so that a copy of it gets a table that is its own
        children: Iterator[tuple[str, nn.Module | None]] = iter(self.items())
        return GuardedModules._restore, (self._module(),), None, None, children

    @staticmethod
    def _restore(module: nn.Module | None) -> dict[str, nn.Module | None]:
        return {} if module is None else GuardedModules(module)


def pin(module: nn.Module, name: str, child: nn.Module) -> None:
    """Let ``module.name`` find ``child`` at once, if nothing else is found there."""
    if name.isidentifier() and name not in module.__dict__ and not hasattr(type(module), name):
        module.__dict__[name] = child


def unpin(module: nn.Module, name: str) -> None:
    """Forget what :func:`pin` put there."""
    if isinstance(module.__dict__.get(name), nn.Module):
        del module.__dict__[name]
