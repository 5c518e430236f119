"""Whether a journal is as it was written: what was changed, as far as its strength lets anybody find out."""

from __future__ import annotations

import hmac
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from hookframe.audit import SUFFIX, Line, Links, lines_of, segments_in
from hookframe_journal.anchor import Anchor
from hookframe_journal.chain import START
from hookframe_journal.findings import Finding, Verification
from hookframe_journal.heading import FORMAT
from hookframe_journal.keys import KeySequence
from hookframe_journal.numbering import misplaced
from hookframe_journal.sealing import open_sealed

__all__ = ["verify_journal", "verify_segment"]


def verify_journal(
    path: Path, *, private: str | None = None, anchors: Sequence[Anchor] = ()
) -> tuple[Verification, ...]:
    """Verify every segment of a journal, each with what the others and the anchors say of it.

    :param path: a directory with segments, or one segment.
    :param private: the operator's private key, in base64, to check MACs as well.
    :param anchors: what was written elsewhere.
    :returns: one verification for each segment that is there, then one for each that should be.
    :raises InvalidJournal: if there is no segment, or one cannot be read.
    :raises JournalError: if ``private`` is no key, or PyNaCl is not installed.
    """
    found = {file.stem: verify_segment(file, private=private, anchors=anchors) for file in segments_in(path)}
    if not path.is_dir():
        return tuple(found.values())
    knows = {anchor.segment: "an anchor" for anchor in anchors}
    knows |= {other: f"segment {name}" for name, verification in found.items() for other in verification.related}
    missing = [_missing(path, name, who) for name, who in sorted(knows.items()) if name not in found]
    return (*found.values(), *missing)


def _missing(directory: Path, name: str, who: str) -> Verification:
    finding = Finding(code="missing", message=f"the segment is not there, and {who} knows it")
    return Verification(path=directory / (name + SUFFIX), segment=name, findings=(finding,))


def verify_segment(file: Path, *, private: str | None = None, anchors: Iterable[Anchor] = ()) -> Verification:
    """Verify one segment; see :func:`verify_journal`."""
    own: dict[int, Anchor] = {}
    for anchor in anchors:
        if anchor.segment == file.stem:
            own.setdefault(anchor.number, anchor)  # the first one: nobody has reason to anchor a record again
    check = _Check(file, private, own)
    for line in lines_of(file):
        check.take(line)
    return check.result()


@dataclass(slots=True)
class _Check:
    """One pass over one segment.

    :ivar anchors: record number → what vouches for it.
    :ivar before: the link before the next record; None where it is not known.
    :ivar doubted: the record before, if neither its link nor its number fits, and the number that does.
    """

    file: Path
    private: str | None
    anchors: dict[int, Anchor]
    findings: list[Finding] = field(default_factory=list)
    numbers: array[int] = field(default_factory=lambda: array("Q"))
    places: array[int] = field(default_factory=lambda: array("Q"))
    before: bytes | None = START
    head: str = ""
    sealed: bool = False
    keys: KeySequence | None = None
    related: tuple[str, ...] = ()
    ended: bool = False
    vouched: list[int] = field(default_factory=list)
    doubted: tuple[Line, int] | None = None

    def _find(self, code: str, message: str, line: Line) -> None:
        self.findings.append(Finding(code=code, message=message, place=line.place, number=line.number))

    def take(self, line: Line) -> None:
        """Look at the next line."""
        number = line.number
        if not line.whole:
            self._find("torn", "the file ends within this line", line)
        elif line.links is None or line.problem is not None or number is None:
            self._find("unreadable", f"{line.problem or 'it has no number'}", line)
            self.before = None if line.links is None else line.links.chain
        else:
            if self.ended:
                self._find("inserted", "a record after the footer", line)
            if not self.numbers:
                self._begin(line)
            self._follow(line, line.links, number)
            if line.kind == "footer":
                self._end(line, number)

    def _begin(self, line: Line) -> None:
        header = line.data
        if line.kind != "header":
            self._find("header", "the segment does not begin with its header", line)
        elif header.get("format") != FORMAT:
            self._find("header", f"format {header.get('format')!r}, and this version reads {FORMAT}", line)
        elif header.get("segment") != self.file.stem:
            self._find("renamed", f"the header is that of segment {header.get('segment')!r}", line)
        self.related = tuple(_related(header))
        seal = header.get("seal")
        self.sealed = isinstance(seal, dict)
        if self.private is None:
            return
        if not isinstance(seal, dict):
            self._find("unsealed", "a key was given, and the records have no MACs", line)
            return
        key = open_sealed(str(seal.get("sealed")), self.private)
        if key is None:
            self._find("key", "the private key that was given does not open the segment's first key", line)
        else:
            self.keys = KeySequence(bytes(key))

    def _follow(self, line: Line, links: Links, number: int) -> None:
        expected = self.numbers[-1] + 1 if self.numbers else 0
        self.numbers.append(number)
        self.places.append(line.place)
        fits = self.before is None or sha256(self.before + links.text).digest() == links.chain
        if self.doubted is not None and number == self.doubted[1] + 1:
            self._find("edited", "its number was changed, and its link does not fit", self.doubted[0])
        self.doubted = (line, expected) if not fits and number != expected else None
        if not fits and number == expected:
            self._find("edited", "its link does not fit: it, or the link of the record before it, was changed", line)
        self.before = links.chain
        self.head = links.chain.hex()
        if self.keys is not None:
            self._check_mac(line, links, self.keys.at(number))
        anchor = self.anchors.get(number)
        if anchor is not None:
            self.vouched.append(number)
            if anchor.chain != self.head:
                self._find("rewritten", "the anchor knows another record of this number", line)

    def _check_mac(self, line: Line, links: Links, key: bytes | None) -> None:
        if key is None or links.mac is None:
            self._find("forged", "it has no MAC that could be checked", line)
        elif not hmac.compare_digest(blake2b(links.chain, key=key, digest_size=32).digest(), links.mac):
            self._find("forged", "its MAC was not made with this record's key", line)

    def _end(self, line: Line, number: int) -> None:
        self.ended = True
        if line.data.get("records") != number + 1:
            self._find("footer", f"the footer counts {line.data.get('records')!r} records", line)

    def result(self) -> Verification:
        """What came out."""
        findings = [*self.findings, *misplaced(self.numbers, self.places)]
        cut = [number for number in self.anchors if number not in self.vouched]
        if cut:
            last = max(cut)
            findings.append(
                Finding(code="cut", message=f"the anchor knows a record {last}, which is gone", number=last)
            )
        if not self.numbers and not findings:
            findings.append(Finding(code="empty", message="there is no record: not even a header"))
        elif not self.ended:
            message = "there is no footer: the process still runs or was killed, or the tail was cut off"
            findings.append(Finding(code="unfinished", message=message))
        return Verification(
            path=self.file,
            segment=self.file.stem,
            records=len(self.numbers),
            head=self.head,
            sealed=self.sealed,
            checked=self.keys is not None,
            anchored=max(self.vouched, default=None),
            finished=self.ended,
            related=self.related,
            findings=tuple(findings),
        )


def _related(header: dict[str, Any]) -> Iterator[str]:
    """The segments that a header names: the one it goes on from, and that of the process that was forked."""
    previous = header.get("previous")
    for name in (header.get("parent"), previous.get("segment") if isinstance(previous, dict) else None):
        if isinstance(name, str):
            yield name
