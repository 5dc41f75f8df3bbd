"""Payloads at rest are sealed: AES-256 in Galois/Counter Mode (NIST SP 800-38D), with a fresh random nonce each, by a named key.

The name of the key and the row that a payload belongs to are authenticated with it: sealed bytes that were moved to another row,
or changed by one bit, do not open.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from store.errors import PayloadUnreadable

KEY_BYTES, NONCE_BYTES = 32, 12


@dataclass(frozen=True, slots=True)
class Sealing:
    """``keys`` by name, 32 bytes each. New payloads are sealed with ``current``; the others open what was sealed before."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def seal(self, payload: bytes, row: str) -> bytes:
        """The payload for the row of that id, sealed with the current key."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # most commands seal nothing

        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self.keys[self.current]).encrypt(nonce, payload, _bound(self.current, row))

    def open(self, sealed: bytes, row: str, key: str) -> bytes:
        """The payload again. Raises :class:`PayloadUnreadable` when the key is not there, or not the one, or the row was changed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if key not in self.keys:
            raise PayloadUnreadable(f"the payload is encrypted with the key {key!r}: add that key to payload_keys")
        try:
            return AESGCM(self.keys[key]).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(key, row))
        except InvalidTag:
            raise PayloadUnreadable(f"the payload cannot be decrypted: the key {key!r} was replaced, or the row was changed") from None


def read_key(text: str) -> bytes:
    """A key as it is written: 32 bytes in base64, or as 64 hexadecimal digits. ``ValueError`` for anything else."""
    for decode in (bytes.fromhex, _base64):
        try:
            key = decode(text.strip())
        except (ValueError, binascii.Error):
            continue
        if len(key) == KEY_BYTES:
            return key
    raise ValueError("is not a 32-byte key in base64: create one with 'openssl rand -base64 32'")


def new_key() -> str:
    """A new key, as :func:`read_key` reads it."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _bound(key: str, row: str) -> bytes:
    return f"{key}\0{row}".encode()
