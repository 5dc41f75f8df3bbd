"""Stores codes that are not in a mapping's table, so that a corrected mapping can apply to them later (product rule 5.8). Pure.

The text of an unknown code may describe the patient, so only a digest is stored. A later table that contains the code recognises the
digest, and nobody can read the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

MARK = "digest:"
"""The prefix of a stored code that was in no table."""


def stored_form(code: str) -> str:
    """The stored form of a code: digests of its text as written and casefolded."""
    return f"{MARK}{_digest(code)}:{_digest(code.casefold())}"


def known_as(code: str, table: Iterable[str]) -> str:
    """The table code that matches a stored code, as written or without regard to case; otherwise ``code`` itself."""
    if not code.startswith(MARK):
        return code
    as_written, _, folded = code.removeprefix(MARK).partition(":")
    digests = {_digest(one): one for one in table}
    return digests.get(as_written) or digests.get(folded) or code


@lru_cache(maxsize=4_096)
def _digest(code: str) -> str:
    return hashlib.blake2b(code.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
