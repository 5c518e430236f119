"""The metadata files of one distribution, read so that a damaged one can be told from one that is not there."""

from __future__ import annotations

import errno
import os
from email.message import Message
from email.parser import HeaderParser

from importlib_metadata import Distribution

__all__ = ["UNREADABLE", "directory_of", "headers_of", "name_from_path", "read_file"]

_LARGEST = 8 << 20  # characters of one file; longer than any description of a project
UNREADABLE = (OSError, UnicodeDecodeError)
"""What :func:`read_file` raises for a file that is there and cannot be read."""


def directory_of(distribution: Distribution) -> str | None:
    """The ``.dist-info`` or ``.egg-info`` directory; None for a distribution that does not lie on the disk."""
    path = getattr(distribution, "_path", None)  # the library has no public name for it
    return os.path.abspath(path) if isinstance(path, os.PathLike) else None  # noqa: PTH100  # as below


def read_file(distribution: Distribution, name: str) -> str | None:
    """The text of one metadata file, None if there is no such file.

    The library's ``read_text`` also answers None for a file that may not be read, which would hide a plugin.

    :raises OSError: if it may not be read, is a directory, or is larger than 8 MiB.
    :raises UnicodeDecodeError: if it is no text.
    """
    directory = directory_of(distribution)
    if directory is None:
        return distribution.read_text(name)
    try:
        with open(os.path.join(directory, name), encoding="utf-8") as file:  # noqa: PTH123, PTH118  # several times faster
            text = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(text) > _LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {_LARGEST} characters")
    return text


def headers_of(distribution: Distribution) -> Message:
    """The fields of METADATA (PKG-INFO for an ``.egg-info``), without the description; empty if there is no such file.

    :raises OSError: if it may not be read.
    :raises UnicodeDecodeError: if it is no text.
    """
    text = read_file(distribution, "METADATA") or read_file(distribution, "PKG-INFO") or ""
    return HeaderParser().parsestr(text.partition("\n\n")[0])


def name_from_path(path: str) -> str | None:
    """The distribution's name as the name of its metadata directory gives it; None if it gives none."""
    stem, extension = os.path.splitext(os.path.basename(path))  # noqa: PTH119, PTH122  # once for each distribution
    if extension not in (".dist-info", ".egg-info"):
        return None
    return stem.partition("-")[0].lstrip("~") or None  # pip renames what it is about to delete to ~name
