"""Where a hook function comes from, also where it is an object that can be called."""

from __future__ import annotations

from dataclasses import replace
from types import CodeType

from hookframe.admission.request import FunctionInfo

__all__ = ["located"]


def located(function: object) -> FunctionInfo:
    """``function`` with file and line; for an object with ``__call__`` those of that method."""
    info = FunctionInfo.of(function)
    called = vars(type(function)).get("__call__")  # on the class: an instance's own is not what Python calls
    code = getattr(called, "__code__", None)
    if info.file is None and isinstance(code, CodeType):
        return replace(info, file=code.co_filename, line=code.co_firstlineno)
    return info
