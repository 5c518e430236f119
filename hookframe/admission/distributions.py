"""What is known of installed distributions by their metadata: which one brought a module, and in which version one is there."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["distribution_of", "version_of"]


def version_of(distribution: str) -> str | None:
    """The version of an installed distribution; None if it is not installed."""
    from importlib_metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def distribution_of(module: str) -> str | None:
    """The normalised name of the installed distribution that ``module`` belongs to.

    Reads the metadata of everything installed when first asked, and remembers it.

    :returns: None for a script, the standard library, and code that no distribution brought.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__main__":
        return None
    return next(iter(_distributions().get(top, ())), None)


@functools.cache
def _distributions() -> Mapping[str, Sequence[str]]:
    from importlib_metadata import packages_distributions
    from packaging.utils import canonicalize_name

    found: Mapping[str, Any] = packages_distributions()
    return {package: sorted({canonicalize_name(name) for name in names}) for package, names in found.items()}
