"""Where a function comes from, beyond its name: a digest of its code, and the distribution that brought it."""

from __future__ import annotations

import functools
import hashlib
import sys
import weakref
from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any

__all__ = ["code_digest", "distribution_of"]

_SHAPE = 0x3FF  # the flags that say what kind of function it is; higher ones are the compiler's own options
_digests: weakref.WeakKeyDictionary[CodeType, str] = weakref.WeakKeyDictionary()


def code_digest(function: object) -> str | None:
    """A digest of what ``function`` does: its bytecode, constants and names, not its place in a file.

    The same source gives the same digest in every process of one Python release; another release compiles it to other
    bytecode. Values that the function closes over are not part of it.

    :returns: ``sha256:`` and 64 hexadecimal digits; None for built-in code.
    """
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if not isinstance(code, CodeType):
        return None
    known = _digests.get(code)
    if known is None:
        known = _digests[code] = "sha256:" + hashlib.sha256(_described(code).encode("utf-8", "replace")).hexdigest()
    return known


def _described(code: CodeType) -> str:
    constants = ",".join(map(_constant, code.co_consts))
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount)
    return f"{code.co_code.hex()}({constants}){names}{code.co_flags & _SHAPE}"


def _constant(value: object) -> str:
    if isinstance(value, CodeType):
        return _described(value)
    if isinstance(value, frozenset):  # its order differs from process to process
        return f"frozenset{sorted(map(_constant, value))}"
    if isinstance(value, tuple):
        return f"({','.join(map(_constant, value))})"
    return f"{type(value).__name__}:{value!r}"


def distribution_of(module: str) -> str | None:
    """The normalised name of the installed distribution that ``module`` belongs to.

    The first call reads the metadata of everything installed, and remembers it.

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
