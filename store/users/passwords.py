"""Passwords: generation, argon2id hashes (RFC 9106), and the rules for passwords that people choose (NIST SP 800-63B-4, 3.1.1.2).

A check takes the same time whether or not the user exists. It needs 64 MiB and one core for a moment: ``store.web.http.lanes`` limits how
many run at once. Passwords are compared in one Unicode form (NFKC), so that it does not matter how a keyboard composes an accent.

A password must have at least 15 characters, since it is the only factor. There are no rules on kinds of characters and no expiry: both lead
to worse passwords. Easily guessed parts do not count: common words, keyboard rows, the names of the user and the enterprise, repetitions.
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

SHORTEST, LONGEST, FEWEST_UNGUESSABLE = 15, 200, 8
ROWS = ("01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop", "1qaz2wsx3edc4rfv")
RUN = 3
COMMON_WORDS = """
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
    """Why this password is not allowed, as a sentence; ``None`` if it is. ``names``: of the user and of the enterprises."""
    if len(password) < SHORTEST:
        return f"A password must have at least {SHORTEST} characters. A few unrelated words are easy to remember."
    if len(password) > LONGEST:
        return f"A password can have at most {LONGEST} characters."
    if unguessable_characters(password, names) < FEWEST_UNGUESSABLE:
        return "This password is too easy to guess: avoid common words, local names, keyboard rows and repetition."
    return None


def unguessable_characters(password: str, names: Collection[str]) -> int:
    """The number of letters and digits left without repetitions, keyboard rows, years, common words and these names."""
    text = _without_repetition(password.casefold())
    known = {part for words in (COMMON_WORDS, *names) for part in NAME.findall(words.casefold())}
    for word in sorted(known, key=len, reverse=True):
        text = text.replace(word, " ")
    text = YEAR.sub(" ", text)
    return sum(1 for part in _without_rows(text) if part.isalnum())


def _without_repetition(text: str) -> str:
    """The shortest prefix that the text repeats."""
    size = len(text)
    return next(text[:unit] for unit in range(1, size + 1) if text[unit:] == text[: size - unit])


def _without_rows(text: str) -> Iterator[str]:
    """The characters that are not part of a run along a keyboard row (in either direction) or of one repeated character."""
    steps = {a + b for row in ROWS for line in (row, row[::-1]) for a, b in pairwise(line)}
    start = 0
    for index in range(1, len(text) + 1):
        if index < len(text) and (text[index - 1] == text[index] or text[index - 1 : index + 1] in steps):
            continue
        yield from text[start:index] if index - start < RUN else ""
        start = index


LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # no characters that are easily confused
GROUPS, LETTERS_IN_GROUP = 4, 5
FEWEST_IN_GENERATED = FEWEST_UNGUESSABLE + 4
"""More than a chosen password needs: the names of its user are not known here, and one of them may be in it by chance."""

COST = replace(RFC_9106_LOW_MEMORY, parallelism=1)
"""For new hashes: 64 MiB and three passes, in one thread. Four would take every core from senders who wait for a decision."""


def generate() -> str:
    """A new password with about 100 random bits, in groups, to be typed once. One that chance made easy to guess is not used."""
    while unguessable_characters(found := _random_groups(), ()) < FEWEST_IN_GENERATED:
        pass
    return found


def _random_groups() -> str:
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(LETTERS_IN_GROUP)) for _ in range(GROUPS))


def hashed(password: str) -> str:
    """The hash to store for a password."""
    return _hasher().hash(normal(password))


def matches(password: str, stored: str | None) -> bool:
    """Whether the password matches the stored hash. ``None``, for an unknown user, takes as long and never matches."""
    if len(password) > LONGEST:
        return False
    try:
        return _hasher().verify(stored or _dummy_hash(), normal(password)) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def normal(password: str) -> str:
    """The normalized form of a password, which is hashed."""
    return unicodedata.normalize("NFKC", password)


def _hasher() -> PasswordHasher:
    return PasswordHasher.from_parameters(COST)


@cache
def _dummy_hash() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))
