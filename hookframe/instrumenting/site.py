"""One side of one module: the torch hook there, as long as a point needs it, and the points that it feeds."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from torch import nn

from hookframe.instrumenting.inert import Inert

if TYPE_CHECKING:
    from hookframe.instrumenting.forward_counter import ForwardCounter

__all__ = ["Site", "site_of", "sites_on"]

_lock = threading.RLock()  # held while sites or their points change; running models read them without it


class SitePoint(Protocol):
    """What a site asks of its points."""

    @property
    def counter(self) -> ForwardCounter:
        """The counter of the point's model."""

    @property
    def names(self) -> tuple[str, ...]:
        """The point's names, the canonical one first."""

    def pass_input(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The arguments to go on with."""

    def pass_output(self, module: nn.Module, output: Any) -> Any:
        """The output to go on with."""


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
        module as long as there are any. It runs before hooks that others registered, whichever came first: points see
        what the module itself returns, and the other hooks see what the points made of it.
    """

    def __init__(self, module: nn.Module, side: Literal["in", "out"]) -> None:
        self._module = weakref.ref(module)
        self._tap = _OutputTap(self) if side == "out" else _InputTap(self)
        self._key: int | None = None  # torch's, from the first time that the hook was on
        self.side = side
        self.active: tuple[SitePoint, ...] = ()
        self._points: tuple[weakref.ref[SitePoint], ...] = ()

    @property
    def module(self) -> nn.Module | None:
        """The module, as long as it lives."""
        return self._module()

    @property
    def points(self) -> list[SitePoint]:
        """All points here that live, of every instrument on the module."""
        found = (reference() for reference in self._points)
        return [point for point in found if point is not None]

    @property
    def crowded(self) -> bool:
        """False if there is one point here, or none, as at most sites."""
        return len(self._points) > 1

    def add(self, point: SitePoint) -> None:
        """Add ``point`` to those known here, without keeping it alive."""
        with _lock:
            others = [reference for reference in self._points if reference() not in (None, point)]
            self._points = (*others, weakref.ref(point))

    def discard(self, point: SitePoint) -> None:
        """Forget ``point``."""
        with _lock:
            self._points = tuple([reference for reference in self._points if reference() not in (None, point)])

    def join(self, point: SitePoint) -> None:
        """Feed ``point`` from now on."""
        with _lock:
            if not self.active:
                module = self.module
                if module is not None:
                    self._install(module, point)
            self.active = (*self.active, point)

    def _install(self, module: nn.Module, point: SitePoint) -> None:
        """Put the torch hook on: at first by torch's method, later straight into torch's table, in a fifth of the time."""
        first = self.side == "out" or module is not point.counter.model  # there, the counter comes first
        if self._key is None:
            if self.side == "out":
                handle = module.register_forward_hook(self._tap, prepend=True)
            else:
                handle = module.register_forward_pre_hook(self._tap, prepend=first, with_kwargs=True)
            self._key = handle.id
            return
        table = cast(
            "OrderedDict[int, Any]", module._forward_hooks if self.side == "out" else module._forward_pre_hooks
        )
        if self.side == "in":
            module._forward_pre_hooks_with_kwargs[self._key] = True
        table[self._key] = self._tap
        if first:
            table.move_to_end(self._key, last=False)

    def leave(self, point: SitePoint) -> None:
        """Feed ``point`` no longer."""
        with _lock:
            self.active = tuple([other for other in self.active if other is not point])
            module = self.module
            if self.active or module is None or self._key is None:
                return
            if self.side == "out":
                module._forward_hooks.pop(self._key, None)
            else:
                module._forward_pre_hooks.pop(self._key, None)
                module._forward_pre_hooks_with_kwargs.pop(self._key, None)


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


def sites_on(module: nn.Module) -> list[Site]:
    """The sites of ``module`` that something has asked for."""
    with _lock:
        return [*_sites.get(module, {}).values()]
