"""Hooks that travel with a copy or a pickle of a model: as plain records, admitted again where they arrive.

Hooks of contexts and caching hooks stay behind: a context belongs to the model that it was entered on, and a copy must
not write into the cache of the original.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hookframe.admission.request import Direction
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.torch_hook import TorchAttachment, registrations
from hookframe.core.registration.planning import plan_attachment
from hookframe.errors import HooksNotAdmitted

if TYPE_CHECKING:
    from torch import nn

    from hookframe.core.values.protocols import Point
    from hookframe.core.values.types import HookFunction

__all__ = ["CarriedHook", "CarriedTorchHook", "NotAdmitted", "carry", "carry_torch", "revive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedHook:
    """What is needed to attach one hook again."""

    function: HookFunction
    direction: Direction
    name: str | None
    permanent: bool
    level: int | None
    aliases: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedTorchHook:
    """What is needed to register one of torch's own hooks again."""

    function: HookFunction
    method: str
    options: dict[str, Any]


def carry_torch(point: Point) -> list[CarriedTorchHook]:
    """Describe torch's own hooks on ``point``."""
    return [
        CarriedTorchHook(function=f, method=method, options=options)
        for method, f, options in registrations(cast("nn.Module", point))
    ]


def carry(attachments: Iterable[Attachment]) -> list[CarriedHook]:
    """Describe the attachments that go along with a copy."""
    return [
        CarriedHook(
            function=attachment.user_hook,
            direction=attachment.direction,
            name=attachment.name,
            permanent=attachment.permanent,
            level=attachment.level,
            aliases=attachment.aliases,
        )
        for attachment in attachments
        if attachment.operation is None and not attachment.caches
    ]


def revive(point: Point, carried: Iterable[CarriedHook | CarriedTorchHook]) -> list[Attachment]:
    """Plan the carried hooks again, on ``point``; nothing is attached."""
    return [_revived(point, hook) for hook in carried]


def _revived(point: Point, hook: CarriedHook | CarriedTorchHook) -> Attachment:
    if isinstance(hook, CarriedTorchHook):
        return TorchAttachment(point, hook.function, hook.method, hook.options)
    return plan_attachment(
        point,
        hook.function,
        direction=hook.direction,
        name=hook.name,
        permanent=hook.permanent,
        level=hook.level,
        aliases=hook.aliases,
    )


class NotAdmitted:
    """Takes the place of a copied point's hooks until they are admitted."""

    __slots__ = ("carried",)

    def __init__(self, carried: list[CarriedHook | CarriedTorchHook]) -> None:
        self.carried = carried

    def fire(self, point: Point, tensor: Any) -> Any:
        """Refuse to run as if there were no hooks.

        :raises HooksNotAdmitted: always.
        """
        raise HooksNotAdmitted(
            f"hook point {point.name!r} was copied without its model and carries {len(self.carried)} hooks that no "
            "admission has seen: copy the whole model, or call remove_hooks('both', including_permanent=True) on it"
        )
