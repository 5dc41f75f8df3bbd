"""Passwords: made at random, kept as argon2id hashes (RFC 9106), checked in the same time whether or not there is such a user.

Each check takes 64 MiB and all cores for a moment: ``store.web.lanes`` limits how many are made at the same time.

They are compared in one Unicode form (NFKC), so that it does not matter which keyboard an accent was typed on (NIST SP 800-63B).
"""

from __future__ import annotations

import secrets
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from store.people.password_rules import LONGEST

LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that is taken for another when read aloud
GROUPS, LETTERS_IN_GROUP = 4, 5
COST = RFC_9106_LOW_MEMORY  # of a new hash: 64 MiB, three passes, four threads


def made() -> str:
    """A new password of about 100 random bits, in groups, for somebody to type once."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(LETTERS_IN_GROUP)) for _ in range(GROUPS))


def hashed(password: str) -> str:
    """What is kept of a password."""
    return _hasher().hash(normal(password))


def fits(password: str, kept: str | None) -> bool:
    """Whether it is the password that was kept. ``None``: nobody's, which takes as long and is never right."""
    if len(password) > LONGEST:
        return False
    try:
        return _hasher().verify(kept or _nobodys(), normal(password)) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def normal(password: str) -> str:
    """The one form of a password that is hashed."""
    return unicodedata.normalize("NFKC", password)


def _hasher() -> PasswordHasher:
    return PasswordHasher.from_parameters(COST)


@cache
def _nobodys() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))
