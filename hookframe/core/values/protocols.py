"""What the lower rooms of the core use of a hook point and of a model, which higher rooms define.

They are for annotations only: no class inherits from them, and nothing is checked against them at run time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.admission.place import Place
    from hookframe.core.values.types import HookConversion, HookFunction

__all__ = ["Attached", "Chosen", "Model", "Point"]


class Attached(Protocol):
    """A hook at a point."""

    point: Any
    options: Any

    @property
    def shown_name(self) -> str:
        """The name of its point in messages."""

    @property
    def user_hook(self) -> HookFunction:
        """The function, as the user gave it."""


class Chosen(Protocol):
    """The points that a filter means; compared by identity."""

    def __iter__(self) -> Iterator[tuple[str, Any, bool]]:
        """The name of each point, the point, and whether the user asked for it by this name."""

    def __hash__(self) -> int: ...


class Point(Protocol):
    """A hook point."""

    listens: ClassVar[bool]
    name: str | None
    given_name: str | None
    ctx: dict[Any, Any]
    hook_conversion: HookConversion | None
    backward_scale: float
    pos_dim: int | None
    _cell: Any

    @property
    def __dict__(self) -> dict[str, Any]: ...  # type: ignore[override]  # as nn.Module has it

    @property
    def _plan(self) -> Any: ...

    @property
    def owner(self) -> Model | None:
        """The model that named it last."""

    @property
    def backward_attachments(self) -> tuple[Any, ...]:
        """Its backward hooks."""

    def becomes(self, state: Literal["active", "idle"]) -> None:
        """Called before the first hook is attached, and after the last is removed."""

    def call_module(self, x: Any) -> Any:
        """Run torch's own hooks, and a subclass's ``forward``."""

    def release(self, attachment: Any) -> None:
        """Remove a hook, and tell observers."""

    def drop(self, attachments: list[Any]) -> None:
        """Remove hooks, if no plugin objects, and tell observers."""

    def add_attachment(self, attachment: Any) -> None:
        """Attach one hook."""

    def detach(self, attachment: Any, ends: bool = True) -> bool:
        """Detach one hook; False if it was not there."""

    def fitting(self, dir: str, including_permanent: bool, level: int | None) -> list[Any]:
        """The hooks that a removal with these arguments would take."""

    def why_silent(self) -> str | None:
        """What is known about why its hooks never run."""

    @property
    def place(self) -> Place:
        """What every model and every family calls the place."""

    def owners(self, root: Model | None = None, name: str | None = None) -> Iterator[tuple[Model, str]]:
        """Its models, each with the point's name there."""

    def other_owners(self, root: Model | None) -> Sequence[Model]:
        """Its models other than ``root``."""

    def name_in(self, name: str | None) -> str | None:
        """What hook functions see as its name."""


class Model(Protocol):
    """A model whose points have names."""

    admission_controller: AdmissionController | None

    @property
    def __dict__(self) -> dict[str, Any]: ...  # type: ignore[override]  # as nn.Module has it

    @property
    def controller(self) -> AdmissionController:
        """Who decides about hooks on it."""

    def left_in_graphs(self) -> Sequence[Any]:
        """Backward hooks of contexts that have ended."""

    def name_of(self, point: Any) -> str | None:
        """The name of a point in it."""

    def names_of_point(self, point: Any) -> tuple[str, ...]:
        """Every name of a point in it."""

    def place_of(self, point: Any) -> Place:
        """The place of a point, kept as long as nothing changes."""

    def families_around(self) -> tuple[str, ...]:
        """The families that recognise it."""

    def equals_of(self, name: str) -> Sequence[str]:
        """The points that carry the same tensor as the one called ``name``, as families say it."""

    def layer_of(self, point: Any) -> int | None:
        """The number of a point in the one list of layers on the way to it."""

    def ask_own_check(self, attachment: Any, name: str) -> None:
        """Ask its ``check_hooks_to_add``."""

    def asks_about(self, batch: Any) -> bool:
        """True if a model has to be asked about each hook."""

    def forget_plans(self) -> None:
        """Drop the planned batches."""
