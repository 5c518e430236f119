"""What a hook point says about itself: its hooks, its layer, how it prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hookframe.core.belonging import BelongsToModels
from hookframe.core.cells import Cell
from hookframe.core.fitting import directions, fits
from hookframe.core.handles import Attachment, HandleList, HookHandle
from hookframe.core.steps import steps_in

if TYPE_CHECKING:
    from hookframe.core.types import HookConversion

__all__ = ["ReadablePoint"]


class ReadablePoint(BelongsToModels):
    """The side of a hook point that changes no hooks."""

    ctx: dict[Any, Any]
    hook_conversion: HookConversion | None
    _cell: Cell  # what a call runs, the forward hooks among it
    _traced: Any  # the same, for torch's compiler
    _bwd: tuple[Attachment, ...]

    listens: ClassVar[bool] = False
    """True if a subclass wants to know when it gets something to run."""

    def becomes(self, state: Literal["active", "idle"]) -> None:
        """Called before the first function comes to this point, and after the last has gone; subclasses may listen.

        What it raises on ``"active"`` reaches whoever attaches; nothing was attached.
        """

    def why_silent(self) -> str | None:
        """What is known about why functions here may never run; subclasses may know something."""
        return None

    def synonyms(self, name: str | None) -> tuple[str, ...]:
        """Other names of what is at this point than ``name``; subclasses may have some."""
        return ()

    @property
    def _plan(self) -> Any:
        return self._cell.plan

    @property
    def _fwd(self) -> tuple[Attachment, ...]:
        found = (getattr(step, "attachment", None) for step in steps_in(self._plan))
        return tuple(attachment for attachment in found if attachment is not None)

    @property
    def fwd_hooks(self) -> list[HookHandle]:
        """Handles of the forward hooks, in call order, as of now."""
        return HandleList([attachment.handle for attachment in self._fwd])

    @property
    def bwd_hooks(self) -> list[HookHandle]:
        """Handles of the backward hooks, in call order, as of now."""
        return HandleList([attachment.handle for attachment in self._bwd])

    @property
    def backward_attachments(self) -> tuple[Attachment, ...]:
        """The backward hooks themselves; a tuple that never changes, a new one takes its place."""
        return self._bwd

    def has_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
        level: int | None = None,
    ) -> bool:
        """True if a hook is attached that fits; ``level=None`` means any level."""
        return any(fits(attachment, including_permanent, level) for attachment in self._attachments(directions(dir)))

    def _attachments(self, directions: Sequence[str] = ("fwd", "bwd")) -> Iterator[Attachment]:
        for direction in directions:
            yield from self._fwd if direction == "fwd" else self._bwd

    def fitting(self, dir: str, including_permanent: bool, level: int | None) -> list[Attachment]:
        """The attachments that a removal with these arguments would take."""
        return [a for a in self._attachments(directions(dir)) if fits(a, including_permanent, level)]

    def layer(self) -> int:
        """The layer: the number in the second dotted part of the name (``blocks.3.hook_mlp_out`` → 3).

        :raises ValueError: if the point has no name, or none with a number in second place.
        """
        if self.name is None:
            raise ValueError("this hook point has no name, so no layer: call setup() on its model first")
        parts = self.name.split(".")
        if len(parts) < 2 or not parts[1].isdigit():
            raise ValueError(f"hook point {self.name!r} has no number in the second part of its name, so no layer")
        return int(parts[1])

    def clear_context(self) -> None:
        """Give the point a fresh, empty ``ctx``."""
        self.ctx = {}

    def enable_reshape(self, conversion: HookConversion | None = None) -> None:
        """Let hook functions see ``conversion.convert(tensor)``, and what they return through ``revert``."""
        self.hook_conversion = conversion

    def __repr__(self) -> str:
        counts = ((len(self._fwd), "fwd"), (len(self._bwd), "bwd"))
        parts = [f"name={self.name!r}"] if self.name is not None else []
        parts += [f"{count} {direction}" for count, direction in counts if count]
        return f"HookPoint({', '.join(parts)})"
