"""What a verification found, and what its strength can and cannot find."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finding", "Verification", "limits_of"]

_UNCERTAIN = ("torn", "unfinished", "empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it was written.

    :ivar code: what it is: ``edited``, ``removed``, ``moved``, ``inserted``, ``unreadable``, ``forged``, ``cut``,
        ``rewritten``, ``missing``, ``header``, ``footer``, ``renamed``, ``key``, ``unsealed``; or ``torn``, ``empty`` and
        ``unfinished``, which a crash leaves as well.
    :ivar place: the line in the file, from 1; None if it is about the whole segment.
    :ivar number: the number of the record, None if there is none.
    """

    code: str
    message: str
    place: int | None = None
    number: int | None = None

    @property
    def grave(self) -> bool:
        """True if only a change after writing explains it."""
        return self.code not in _UNCERTAIN

    def __str__(self) -> str:
        where = f"line {self.place}: " if self.place is not None else ""
        return f"{where}{self.code}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What is known of one segment.

    :ivar records: how many records it has.
    :ivar head: the link of the last one, in hexadecimal: note it elsewhere, and later changes to what is before it show.
    :ivar sealed: True if its records have forward-secure MACs.
    :ivar checked: True if these were checked with the operator's key.
    :ivar anchored: the number of the last record that an anchor vouches for; None if none does.
    :ivar finished: True if it ends in its footer.
    :ivar related: other segments that its header names.
    """

    path: Path
    segment: str
    records: int = 0
    head: str = ""
    sealed: bool = False
    checked: bool = False
    anchored: int | None = None
    finished: bool = False
    related: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def intact(self) -> bool:
        """True if nothing was found that only a change after writing explains."""
        return not any(finding.grave for finding in self.findings)

    def describe(self) -> str:
        """The segment, what was found, and what could not have been found, on lines of their own."""
        state = "as it was written" if self.intact else "NOT as it was written"
        end = "" if self.finished else ", without a footer"
        lines = [f"{self.segment}: {state} ({self.records} records{end})"]
        lines += [f"  {finding}" for finding in self.findings]
        lines += [f"  not excluded: {limit}" for limit in limits_of(self)]
        return "\n".join(lines)


def limits_of(verification: Verification) -> tuple[str, ...]:
    """Changes that would not have been found, as phrases."""
    limits = []
    anchored = verification.anchored
    after = "" if anchored is None else f" after record {anchored}, the last one anchored"
    if not verification.checked:
        limits.append(f"records changed{after} by somebody who also computed the chain anew")
    elif anchored is None:
        limits.append("the whole segment replaced by another, with a key of its own: an anchor would show it")
    else:
        limits.append(f"records{after} made by somebody who was in the process by then")
    if not verification.finished:
        limits.append(f"records cut off{after} from the end: a crash looks the same")
    return tuple(limits)
