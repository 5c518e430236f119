"""Which hooks a question or a removal means."""

from __future__ import annotations

from hookframe.core.handles import Attachment
from hookframe.errors import InvalidDirection

__all__ = ["directions", "fits"]


def fits(attachment: Attachment, including_permanent: bool, level: int | None) -> bool:
    """True if the hook is one that a call with these arguments means."""
    return (including_permanent or not attachment.permanent) and (level is None or attachment.level == level)


def directions(direction: str) -> tuple[str, ...]:
    """The directions that a ``dir`` argument means.

    :raises InvalidDirection: for anything but ``"fwd"``, ``"bwd"`` and ``"both"``.
    """
    if direction == "both":
        return ("fwd", "bwd")
    if direction not in ("fwd", "bwd"):
        raise InvalidDirection(f"Invalid direction {direction!r}: use 'fwd', 'bwd' or 'both'")
    return (direction,)
