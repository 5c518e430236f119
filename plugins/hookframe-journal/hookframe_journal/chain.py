"""The chain that ties each record of a segment to all before it: a hash always, a forward-secure MAC if there is a key.

The link of a record is ``SHA-256(link before it, 32 bytes + the record's text up to its link)``; before the first record
stand 32 zero bytes. The MAC of a record is keyed BLAKE2b over its link; then the key is replaced by its SHA-256, so that
whoever finds the key later can make no MAC for what was written before.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b, sha256

__all__ = ["START", "Chain"]

START = bytes(32)


@dataclass(slots=True)
class Chain:
    """How far a segment has come.

    :ivar number: the number of the next record, from 0.
    :ivar head: the link of the last record.
    :ivar key: the key for the next record's MAC, 32 bytes; None without MACs.
    """

    number: int = 0
    head: bytes = START
    key: bytearray | None = None

    def line(self, body: bytes) -> bytes:
        """The next line of the segment: ``body`` with its number and its links, which become the chain's own.

        :param body: a JSON object without its braces.
        """
        text = b'{"n":%d,%b' % (self.number, body)
        self.number += 1
        mac = self.advance(text)
        tail = b',"mac":"%b"' % mac.hex().encode() if mac is not None else b""
        return b'%b,"chain":"%b"%b}\n' % (text, self.head.hex().encode(), tail)

    def advance(self, text: bytes) -> bytes | None:
        """Go on by one record; return its MAC, if there is a key, which is then replaced by its hash."""
        self.head = sha256(self.head + text).digest()
        if self.key is None:
            return None
        mac = blake2b(self.head, key=self.key, digest_size=32).digest()
        self.key[:] = sha256(self.key).digest()
        return mac

    def copy(self) -> Chain:
        """The same place, to try what comes next."""
        return Chain(self.number, self.head, None if self.key is None else bytearray(self.key))

    def forget(self) -> None:
        """Overwrite the key."""
        if self.key is not None:
            self.key[:] = bytes(len(self.key))
