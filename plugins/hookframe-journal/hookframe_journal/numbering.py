"""Which records of a segment are missing, stand twice, or stand elsewhere, by their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hookframe_journal.findings import Finding

__all__ = ["misplaced"]


def misplaced(numbers: Sequence[int], places: Sequence[int]) -> Iterator[Finding]:
    """Findings about records that are not where their numbers say.

    :param numbers: the numbers of the records, as they follow each other.
    :param places: the lines in which they stand.
    """
    if all(number == index for index, number in enumerate(numbers)):
        return
    seen: set[int] = set()
    highest = -1
    for number, place in zip(numbers, places, strict=True):
        if number in seen:
            yield Finding(code="inserted", message=f"record {number} stands twice", place=place, number=number)
        elif number < highest:
            message = f"record {number} stands after record {highest}"
            yield Finding(code="moved", message=message, place=place, number=number)
        seen.add(number)
        highest = max(highest, number)
    expected = 0
    for number in sorted(seen):
        if number > expected:
            which = f"record {expected} is" if number == expected + 1 else f"records {expected} to {number - 1} are"
            yield Finding(code="removed", message=f"{which} missing", number=expected)
        expected = number + 1
