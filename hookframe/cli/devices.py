"""Where verbs run a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["check_device", "on_device"]

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def on_device(verb: _Verb) -> _Verb:
    """Add ``--device NAME``."""
    text = "Run the model there: cpu, cuda, cuda:1, mps. Where it was loaded to, if not given."
    return click.option("--device", metavar="NAME", help=text)(verb)


def check_device(name: str) -> None:
    """Check that torch can put a tensor there.

    :raises click.UsageError: if not.
    """
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise click.UsageError(f"this machine has no device {name!r}: {str(error).splitlines()[0]}") from error
