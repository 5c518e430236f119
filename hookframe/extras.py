"""What parts of hookframe need besides its required dependencies, and how to install it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from hookframe.errors import MissingExtra

__all__ = ["EXTRAS", "need", "needing"]

EXTRAS = {
    "policy": ("pydantic", "tree_sitter", "tree_sitter_toml", "tomli_w"),
    "capture": ("pydantic", "filelock"),
    "testing": ("pytest", "hypothesis", "jinja2"),
}
"""Extra → the modules that it installs."""


def need(extra: str, what: str) -> None:
    """Make sure that an extra is installed.

    :param what: what needs it, as the beginning of a sentence.
    :raises MissingExtra: if it is not.
    """
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if missing:
        command = f"pip install 'hookframe[{extra}]'"
        raise MissingExtra(f"{what} needs {', '.join(missing)}: {command}", command=command)


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Put this around imports from an extra; see :func:`need`."""
    need(extra, what)
    yield
