"""Passwords: made at random, kept as argon2id hashes (RFC 9106), checked in the same time whether or not there is such a user.

Each check takes 64 MiB and one core for a moment: ``store.web.http.lanes`` limits how many are made at the same time.

They are compared in one Unicode form (NFKC), so that it does not matter which keyboard an accent was typed on (NIST SP 800-63B).

Which passwords people may choose (NIST SP 800-63B-4, 3.1.1.2). Pure.

At least 15 characters, for the password is the only factor. No rules on kinds of characters, no changing by the calendar: they make worse
passwords. What everybody tries first does not count: words and rows of keys that such lists are made of, the user's and the enterprise's
name, and repetitions.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

SHORTEST, LONGEST, OWN = 15, 200, 8
ROWS = ("01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop", "1qaz2wsx3edc4rfv")
RUN = 3
TRIED_FIRST = """
    admin administrator auditor changeme clinic computer contact default doctor dragon emr enterprise football general guest
    health healthcare hello hospital iloveyou letmein login manager master medical monkey nurse operator passphrase passwort password
    patient please practice princess qwerty secret secure server shadow staff sunshine superman sync system temp temporary test
    trustno1 user welcome whatever
    spring summer autumn winter january february march april june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday
"""
YEAR = re.compile(r"(?:19|20)\d\d")
NAME = re.compile(r"[^\W_]{3,}")


def refusal(password: str, names: Collection[str]) -> str | None:
    """Why this password may not be chosen, as a sentence; ``None`` when it may. ``names``: of the user and of where they work."""
    if len(password) < SHORTEST:
        return f"A password must have at least {SHORTEST} characters. A few unrelated words are easy to remember."
    if len(password) > LONGEST:
        return f"A password can have at most {LONGEST} characters."
    if own(password, names) < OWN:
        return "This password is too easy to guess: avoid common words, local names, keyboard rows and repetition."
    return None


def own(password: str, names: Collection[str]) -> int:
    """How many letters and digits are left without repetitions, rows of keys, years, common words and these names."""
    text = _once(password.casefold())
    known = {part for words in (TRIED_FIRST, *names) for part in NAME.findall(words.casefold())}
    for word in sorted(known, key=len, reverse=True):
        text = text.replace(word, " ")
    text = YEAR.sub(" ", text)
    return sum(1 for part in _without_rows(text) if part.isalnum())


def _once(text: str) -> str:
    """The shortest beginning that the whole is a repetition of."""
    size = len(text)
    return next(text[:unit] for unit in range(1, size + 1) if text[unit:] == text[: size - unit])


def _without_rows(text: str) -> Iterator[str]:
    """The characters that do not go on from the one before along a row of keys, forwards, backwards, or by staying."""
    steps = {a + b for row in ROWS for line in (row, row[::-1]) for a, b in pairwise(line)}
    start = 0
    for index in range(1, len(text) + 1):
        if index < len(text) and (text[index - 1] == text[index] or text[index - 1 : index + 1] in steps):
            continue
        yield from text[start:index] if index - start < RUN else ""
        start = index


LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that is taken for another when read aloud
GROUPS, LETTERS_IN_GROUP = 4, 5
COST = replace(RFC_9106_LOW_MEMORY, parallelism=1)
"""Of a new hash: 64 MiB and three passes. In one thread: four would take every core from whoever waits for a decision."""


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
