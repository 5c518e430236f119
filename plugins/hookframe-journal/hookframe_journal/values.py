"""Bodies of records, and values that a segment holds once and refers to by digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from json import JSONEncoder
from typing import Any, TypeAlias

__all__ = ["Record", "Value", "body_of"]

_encode = JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def body_of(facts: Mapping[str, Any]) -> bytes:
    """``facts`` as a JSON object without its braces, in ASCII.

    :raises ValueError: if it holds a number that JSON does not have.
    :raises TypeError: if it holds what is no plain data.
    """
    return _encode(facts)[1:-1].encode()


@dataclass(frozen=True, slots=True)
class Value:
    """Something that many records say: a batch of requests, a list of names, a list of objections.

    :ivar digest: the SHA-256 of its JSON, in hexadecimal.
    :ivar body: the record that holds it.
    """

    digest: str
    body: bytes

    @classmethod
    def of(cls, kind: str, value: Any) -> Value:
        """The value of this kind; equal ones have equal digests."""
        text = _encode(value).encode()
        digest = sha256(text).hexdigest()
        return cls(digest, b'"kind":"%b","digest":"%b","value":%b' % (kind.encode(), digest.encode(), text))


Record: TypeAlias = tuple[bytes, tuple[Value, ...]]
"""The body of a record, and the values that it refers to."""
