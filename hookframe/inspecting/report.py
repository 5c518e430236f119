"""Hooks that were found on a model, as values; the command renders them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import CodeType
from typing import Self

from hookframe.admission.request import Direction, FunctionInfo
from hookframe.core.hooks.attachment import Attachment

__all__ = ["FoundHook", "Remark", "ScanReport", "Trait", "located"]


class Trait(StrEnum):
    """What is remarkable about a hook."""

    UNMANAGED = "unmanaged"
    """No admission has seen it: it was registered with torch, on a module or past a hook point's own methods."""
    GLOBAL = "global"
    """It runs for every module of the process."""
    REPLACED = "replaced"
    """Not a hook: the module's ``forward`` was replaced on the instance, as some tools do to wrap it."""
    ORPHANED = "orphaned"
    """Its context is over, or its point is no longer in the model."""
    EXPIRED = "expired"
    """It was admitted, and would be refused now."""
    NEVER_FIRED = "never-fired"
    """It has not run since it was attached."""
    EXCEPTED = "excepted"
    """A policy's exception lets it through."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that is remarkable about a hook, and why."""

    trait: Trait
    message: str

    def __str__(self) -> str:
        return f"{self.trait}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundHook:
    """One hook.

    :ivar place: the name of the hook point or module that it is on; ``""`` for the model itself, ``"*"`` for all modules.
    :ivar kind: what it is: ``"hook"``, ``"caching hook"``, or the torch method that registers such a hook.
    :ivar function: the function, with file and line where it has them.
    :ivar direction: which pass calls it; None if neither does, as for hooks on state dicts.
    :ivar fired: how often it ran; None if it is not counted.
    """

    place: str
    kind: str
    function: FunctionInfo
    direction: Direction | None
    permanent: bool = False
    fired: int | None = None
    remarks: tuple[Remark, ...] = ()

    @classmethod
    def of(cls, attachment: Attachment, place: str, remarks: Sequence[Remark] = ()) -> Self:
        """A function that is attached to the hook point called ``place``."""
        return cls(
            place=place,
            kind="caching hook" if attachment.caches else "hook",
            function=located(attachment.user_hook),
            direction=attachment.direction,
            permanent=attachment.handle.is_permanent,
            fired=attachment.fired,
            remarks=tuple(remarks),
        )

    @property
    def traits(self) -> frozenset[Trait]:
        """All that is remarkable about it."""
        return frozenset(remark.trait for remark in self.remarks)

    def __str__(self) -> str:
        where = {"": "the model", "*": "every module"}.get(self.place, repr(self.place))
        what = self.kind if self.direction is None else f"{self.direction} {self.kind}"
        return f"{what} {self.function} at {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """Every hook on a model.

    :ivar model: the name of the model's class.
    :ivar modules: how many modules it has, itself among them.
    :ivar points: how many hook points it has.
    :ivar hooks: the hooks: those of the points in the model's order, then torch's, module by module, then the global ones.
    """

    model: str
    modules: int
    points: int
    hooks: tuple[FoundHook, ...] = ()

    @property
    def findings(self) -> tuple[FoundHook, ...]:
        """The hooks that the user should look at; a hook whose only remark is an exception is not among them."""
        return tuple(hook for hook in self.hooks if hook.traits - {Trait.EXCEPTED})

    def with_trait(self, trait: Trait | str) -> tuple[FoundHook, ...]:
        """The hooks with this trait."""
        return tuple(hook for hook in self.hooks if trait in hook.traits)

    def describe(self) -> str:
        """The findings, each with its reasons, on lines of their own."""
        head = f"{self.model}: {len(self.hooks)} hooks on {self.modules} modules and {self.points} hook points"
        lines = [f"{head}, {len(self.findings)} to look at"]
        for hook in self.findings:
            lines.append(f"  - {hook}")
            lines += [f"    {remark}" for remark in hook.remarks]
        return "\n".join(lines)


def located(function: object) -> FunctionInfo:
    """``function`` with file and line; for an object with ``__call__`` those of that method."""
    info = FunctionInfo.of(function)
    called = vars(type(function)).get("__call__")  # on the class: an instance's own is not what Python calls
    code = getattr(called, "__code__", None)
    if info.file is None and isinstance(code, CodeType):
        return replace(info, file=code.co_filename, line=code.co_firstlineno)
    return info
