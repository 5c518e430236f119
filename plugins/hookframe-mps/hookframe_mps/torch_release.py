"""Which torch is installed, from its metadata alone, and what is known to be wrong with it."""

from __future__ import annotations

import importlib.metadata

from packaging.version import InvalidVersion, Version

__all__ = ["has_linear_defect", "installed_torch"]

_DEFECTIVE = (2, 8)


def installed_torch() -> str | None:
    """The version of the installed torch, as its metadata writes it; None if there is no such metadata."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def has_linear_defect(release: str | None) -> bool:
    """True if ``linear`` of this torch is wrong on MPS for tensors that are not contiguous (pytorch issue 161640).

    Local parts count for nothing: ``"2.8.0+cpu"`` is 2.8. Of a version that is unknown, or none, nothing is claimed.
    """
    try:
        return release is not None and Version(release).release[:2] == _DEFECTIVE
    except InvalidVersion:
        return False
