"""Hooks that only the thread or task that entered their context can see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Scope", "open_scopes", "seeing"]

_open_scopes: ContextVar[tuple[Scope, ...]] = ContextVar("hookframe_scopes", default=())


class Scope:
    """One open context, recorded in a context variable.

    A new thread starts outside of it. An asyncio task created inside belongs to it, since tasks copy context variables;
    a task that was running before does not.
    """

    __slots__ = ()

    def open(self) -> None:
        """Let this thread or task see the hooks."""
        _open_scopes.set((*_open_scopes.get(), self))

    def close(self) -> None:
        """Hide the hooks from it again; scopes may be closed in any order."""
        _open_scopes.set(tuple(scope for scope in _open_scopes.get() if scope is not self))

    @property
    def active(self) -> bool:
        """True for the thread or task that opened it."""
        return self in _open_scopes.get()


def open_scopes() -> tuple[Scope, ...]:
    """The scopes that the caller is in."""
    return _open_scopes.get()


@contextmanager
def seeing(scopes: tuple[Scope, ...]) -> Iterator[None]:
    """Enter these scopes as well, in whichever thread this runs."""
    before = _open_scopes.get()
    try:
        _open_scopes.set((*before, *(scope for scope in scopes if scope not in before)))
        yield
    finally:
        _open_scopes.set(before)
