"""What the attachments of one function have in common, when an operation asks for it at many points."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookframe.admission.request import Direction
    from hookframe.core.return_guard import ReturnRules
    from hookframe.core.scope import Scope
    from hookframe.core.types import HookFunction

__all__ = ["Owner", "Terms"]


class Owner:
    """The operation that attachments belong to, as far as they know it.

    :ivar held: True if somebody may hold on to a handle of one of them.
    :ivar failed: True if one of them has an error that nobody has reported.
    """

    __slots__ = ("failed", "held")

    def __init__(self) -> None:
        self.failed = self.held = False


class Terms:
    """On what terms a function is attached, wherever that is.

    :ivar user_hook: the function, as the user gave it.
    :ivar rules: what has to hold of a tensor that the function returns; None if that is its own affair.
    :ivar owner: the operation that it belongs to, if any.
    :ivar recomputed: True once it was said that the function runs again in a backward pass.
    :ivar wrapped: True if something is around it at one of the points.
    :ivar scope: who sees it: None for everybody.
    """

    __slots__ = (
        "aliases", "direction", "level", "owner", "permanent", "prepend", "read_only", "recomputed", "rules", "scope",
        "user_hook", "wrapped",
    )  # fmt: skip

    def __init__(
        self,
        user_hook: HookFunction,
        direction: Direction,
        *,
        permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
        aliases: tuple[str, ...] = (),
        read_only: bool = False,
        rules: ReturnRules | None = None,
        owner: Owner | None = None,
        scope: Scope | None = None,
    ) -> None:
        self.user_hook = user_hook
        self.direction: Direction = direction
        self.permanent = permanent
        self.level = level
        self.prepend = prepend
        self.aliases = aliases
        self.read_only = read_only
        self.rules = rules
        self.owner = owner
        self.scope = scope
        self.recomputed = False
        self.wrapped = False
