"""One reason against a request: who, which rule, why, what to do about it, and how serious it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hookframe.errors import InvalidObjection

if TYPE_CHECKING:
    from hookframe.admission.request import Request

__all__ = ["Action", "Objection"]


class Action(StrEnum):
    """What an objection asks for, strongest first."""

    DENY = "deny"
    """Refuse the whole batch."""
    SKIP = "skip"
    """Leave this point out, if a filter swept it up; refuse the batch if it was asked for by name."""
    WARN = "warn"
    """Admit, and warn at the user's line."""
    AUDIT = "audit"
    """Admit, and do no more than record the objection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """One reason against one request. Make it with :meth:`deny`, :meth:`warn`, :meth:`skip` or :meth:`audit`.

    :ivar request: what it is about: one of the values that the validator was given.
    :ivar rule: a short stable name for the rule, kebab-case.
    :ivar message: what is wrong, as a phrase.
    :ivar remedy: what the user can do about it.
    :ivar source: who objects; the plugin host fills it in, whatever the plugin wrote.
    :ivar device: the device to use instead of the one in the request; None to leave that.
    :ivar origin: where the rule is written, None where it is code.
    :ivar exception: the policy's exception that turned a denial into this objection, None if none did.
    :raises InvalidObjection: if the rule, the message or the remedy is empty, or the action unknown.
    """

    request: Request
    rule: str
    message: str
    remedy: str
    action: Action = Action.DENY
    source: str = ""
    device: str | None = None
    origin: str | None = None
    exception: str | None = None

    def __post_init__(self) -> None:
        for part in ("rule", "message", "remedy"):
            value = getattr(self, part)
            if not isinstance(value, str) or not value.strip():
                raise InvalidObjection(f"an objection needs a {part}, got {value!r}: say it as a non-empty string")
        if not isinstance(self.action, Action):
            try:
                object.__setattr__(self, "action", Action(self.action))
            except ValueError:
                raise InvalidObjection(f"unknown action {self.action!r}: use one of {[*map(str, Action)]}") from None

    @classmethod
    def deny(cls, request: Request, *, rule: str, message: str, remedy: str) -> Objection:
        """Refuse the whole batch because of ``request``."""
        return cls(request=request, rule=rule, message=message, remedy=remedy, action=Action.DENY)

    @classmethod
    def skip(cls, request: Request, *, rule: str, message: str, remedy: str) -> Objection:
        """Leave the point out if a filter swept it up; refuse the batch if it was asked for by its exact name."""
        return cls(request=request, rule=rule, message=message, remedy=remedy, action=Action.SKIP)

    @classmethod
    def warn(cls, request: Request, *, rule: str, message: str, remedy: str, device: str | None = None) -> Objection:
        """Admit with a warning; with ``device``, on that device instead of the one that was chosen."""
        return cls(request=request, rule=rule, message=message, remedy=remedy, action=Action.WARN, device=device)

    @classmethod
    def audit(cls, request: Request, *, rule: str, message: str, remedy: str) -> Objection:
        """Admit and record the objection, nothing else."""
        return cls(request=request, rule=rule, message=message, remedy=remedy, action=Action.AUDIT)

    @property
    def refuses(self) -> bool:
        """True if the batch cannot go on because of this objection."""
        if self.action is Action.SKIP:
            return getattr(self.request, "exact", True)
        return self.action is Action.DENY

    def __str__(self) -> str:
        return f"{self.request.subject}: {self.message} [{self.by}]; {self.remedy}"

    @property
    def by(self) -> str:
        """Who objects, with which rule and where that is written, in a few words."""
        where = f" ({self.origin})" if self.origin else ""
        return f"{self.source or 'unknown'}: {self.rule}{where}"
