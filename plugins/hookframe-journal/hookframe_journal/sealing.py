"""Sealing a segment's first key, so that the operator alone can read it: PyNaCl's sealed boxes, X25519.

PyNaCl comes with the extra ``hookframe-journal[sealed]``, and is imported when a key is needed.
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from typing import Any

from hookframe.errors import JournalError

__all__ = ["KEY_BYTES", "key_library", "new_key_pair", "open_sealed", "sealed_key"]

KEY_BYTES = 32


def key_library() -> Any:
    """PyNaCl.

    :raises JournalError: if it is not installed.
    """
    try:
        import nacl.exceptions
        import nacl.public
    except ImportError as error:
        raise JournalError(
            "sealing a journal's key needs PyNaCl: pip install 'hookframe-journal[sealed]', or keep the journal without sealed_to"
        ) from error
    return nacl


def _key(text: str, what: str) -> bytes:
    try:
        key = b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise JournalError(f"{what} is no key: 'hookframe audit key' makes a pair, each {KEY_BYTES} bytes in base64")
    return key


def new_key_pair() -> tuple[str, str]:
    """A private and a public key, in base64.

    :raises JournalError: if PyNaCl is not installed.
    """
    private = key_library().public.PrivateKey.generate()
    return b64encode(bytes(private)).decode(), b64encode(bytes(private.public_key)).decode()


def sealed_key(recipient: str) -> tuple[bytearray, str]:
    """A fresh key, and the same key in a box that only ``recipient`` opens, in base64.

    :raises JournalError: if ``recipient`` is no public key, or PyNaCl is not installed.
    """
    public = key_library().public
    box = public.SealedBox(public.PublicKey(_key(recipient, "sealed_to")))
    key = bytearray(secrets.token_bytes(KEY_BYTES))
    return key, b64encode(box.encrypt(bytes(key))).decode()


def open_sealed(sealed: str, private: str) -> bytearray | None:
    """The key in a box; None if it was sealed to somebody else, or is no box.

    :raises JournalError: if ``private`` is no key, or PyNaCl is not installed.
    """
    nacl = key_library()
    box = nacl.public.SealedBox(nacl.public.PrivateKey(_key(private, "the private key")))
    try:
        key = bytearray(box.decrypt(b64decode(sealed, validate=True)))
    except (ValueError, TypeError, nacl.exceptions.CryptoError):
        return None
    return key if len(key) == KEY_BYTES else None
