"""A digest of what a function does."""

from __future__ import annotations

import hashlib
import weakref
from types import CodeType

__all__ = ["code_digest"]

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
