"""One side of one module: the torch hook there, as long as a point needs it, and the points that it feeds."""

from __future__ import annotations

import threading
import weakref
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Literal

from torch import nn
from torch.utils.hooks import RemovableHandle

from hookframe.instrumenting.inert import Inert

if TYPE_CHECKING:
    from hookframe.instrumenting.module_point import ModulePoint

__all__ = ["Site", "points_on", "site_of"]

_lock = threading.RLock()  # held while sites or their points change; running models read them without it


class _InputTap:
    """The torch hook at the input of a module."""

    __slots__ = ("site",)
    hookframe_managed = True  # as core.unmanaged asks: what runs here was admitted

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = args, kwargs
        for point in self.site.active:
            args, kwargs = point.pass_input(module, args, kwargs)
        return None if given[0] is args and given[1] is kwargs else (args, kwargs)

    def __reduce__(self) -> tuple[type[Inert], tuple[()]]:
        return Inert, ()


class _OutputTap:
    """The torch hook at the output of a module."""

    __slots__ = ("site",)
    hookframe_managed = True

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        given = output
        for point in self.site.active:
            output = point.pass_output(module, output)
        return None if output is given else output

    def __reduce__(self) -> tuple[type[Inert], tuple[()]]:
        return Inert, ()


class Site:
    """One side of one module.

    :ivar active: the points with something to run, in the order in which they became active. The torch hook is on the
        module as long as there are any, before hooks that others registered: points see what the module itself returns,
        and others see what the points made of it, whoever came first.
    """

    def __init__(self, module: nn.Module, side: Literal["in", "out"]) -> None:
        self._module = weakref.ref(module)
        self._hook: RemovableHandle | None = None
        self.side = side
        self.active: tuple[ModulePoint, ...] = ()
        self._points: tuple[weakref.ref[ModulePoint], ...] = ()

    @property
    def module(self) -> nn.Module | None:
        """The module, as long as it lives."""
        return self._module()

    @property
    def points(self) -> list[ModulePoint]:
        """All points here that live, of every instrument on the module."""
        found = (reference() for reference in self._points)
        return [point for point in found if point is not None]

    @property
    def crowded(self) -> bool:
        """False if there is one point here, or none; for most sites all that has to be asked."""
        return len(self._points) > 1

    def add(self, point: ModulePoint) -> None:
        """Know ``point``, without keeping it alive."""
        with _lock:
            others = [reference for reference in self._points if reference() not in (None, point)]
            self._points = (*others, weakref.ref(point))

    def discard(self, point: ModulePoint) -> None:
        """Forget ``point``."""
        with _lock:
            self._points = tuple([reference for reference in self._points if reference() not in (None, point)])

    def join(self, point: ModulePoint) -> None:
        """Feed ``point`` from now on."""
        with _lock:
            module = self.module
            if self._hook is None and module is not None:
                self._hook = self._install(module, point)
            self.active = (*self.active, point)

    def _install(self, module: nn.Module, point: ModulePoint) -> RemovableHandle:
        if self.side == "out":
            return module.register_forward_hook(_OutputTap(self), prepend=True)
        first = module is not point.clock.model  # there, the clock comes first
        return module.register_forward_pre_hook(_InputTap(self), prepend=first, with_kwargs=True)

    def leave(self, point: ModulePoint) -> None:
        """Feed ``point`` no longer."""
        with _lock:
            self.active = tuple(other for other in self.active if other is not point)
            if not self.active and self._hook is not None:
                self._hook.remove()
                self._hook = None


_sites: MutableMapping[nn.Module, dict[str, Site]] = weakref.WeakKeyDictionary()
"""The sites of each module. Kept here, since a module must not carry anything of ours while nothing is attached, and two
instruments on one module have to find each other's points. A site holds its module weakly, so nothing is kept alive."""


def site_of(module: nn.Module, side: Literal["in", "out"]) -> Site:
    """The one site for this side of ``module``."""
    with _lock:
        sides = _sites.setdefault(module, {})
        if side not in sides:
            sides[side] = Site(module, side)
        return sides[side]


def points_on(module: nn.Module) -> list[ModulePoint]:
    """Every point at either side of ``module``, of whichever instrument, in the order of their names."""
    with _lock:
        found = {point for site in _sites.get(module, {}).values() for point in site.points}
    return sorted(found, key=lambda point: point.names)
