"""Encryption of payloads at rest: AES-256 in Galois/Counter Mode (NIST SP 800-38D) with a new random nonce each and a named key.

The key's name and the row's id are authenticated with the payload: bytes that were moved to another row, or changed in any way, cannot
be decrypted.
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
    """The keys by name, 32 bytes each. ``current`` encrypts new payloads; the others decrypt older ones."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def seal(self, payload: bytes, row: str) -> bytes:
        """The payload of the row with that id, encrypted with the current key."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # most commands do not need it

        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self.keys[self.current]).encrypt(nonce, payload, _associated_data(self.current, row))

    def open(self, sealed: bytes, row: str, key: str) -> bytes:
        """The decrypted payload. Raises :class:`PayloadUnreadable` when the key is missing or wrong, or the row was changed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if key not in self.keys:
            raise PayloadUnreadable(f"the payload is encrypted with the key {key!r}: add that key to payload_keys")
        try:
            return AESGCM(self.keys[key]).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _associated_data(key, row))
        except InvalidTag:
            raise PayloadUnreadable(f"the payload cannot be decrypted: the key {key!r} was replaced, or the row was changed") from None


def read_key(text: str) -> bytes:
    """A key from its text: 32 bytes in base64, or 64 hexadecimal digits. ``ValueError`` for anything else."""
    for decode in (bytes.fromhex, _base64):
        try:
            key = decode(text.strip())
        except (ValueError, binascii.Error):
            continue
        if len(key) == KEY_BYTES:
            return key
    raise ValueError("is not a 32-byte key in base64: create one with 'openssl rand -base64 32'")


def new_key() -> str:
    """A new random key in base64, for :func:`read_key`."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _associated_data(key: str, row: str) -> bytes:
    return f"{key}\0{row}".encode()
