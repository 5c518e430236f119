"""Hooks that only the thread or task that entered their context can see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Scope", "open_scopes", "seeing"]

_open_scopes: ContextVar[tuple[Scope, ...]] = ContextVar("hookframe_scopes", default=())


class Scope:
    """One open context, as a context variable knows it.

    A new thread starts outside of it. An asyncio task that is created inside belongs to it, as context variables have
    it; one that was there before does not.
    """

    __slots__ = ()

    def open(self) -> None:
        """Let this thread or task see the hooks."""
        _open_scopes.set((*_open_scopes.get(), self))

    def close(self) -> None:
        """Let it no longer; scopes may be closed in any order."""
        _open_scopes.set(tuple(scope for scope in _open_scopes.get() if scope is not self))

    @property
    def active(self) -> bool:
        """True for the thread or task that opened it."""
        return self in _open_scopes.get()


def open_scopes() -> tuple[Scope, ...]:
    """The scopes in which the caller is."""
    return _open_scopes.get()


@contextmanager
def seeing(scopes: tuple[Scope, ...]) -> Iterator[None]:
    """Be in these scopes as well, whichever thread this is."""
    before = _open_scopes.get()
    try:
        _open_scopes.set((*before, *(scope for scope in scopes if scope not in before)))
        yield
    finally:
        _open_scopes.set(before)
