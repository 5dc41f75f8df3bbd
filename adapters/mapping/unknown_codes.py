"""A code that no table of a mapping knows, kept so that a later mapping may know it (product rule 5.8). Pure.

Its text may be about the patient, so what is kept is a digest: a table that has the code finds it by that, and nobody can read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

MARK = "digest:"
"""Begins what is kept of a code that was in no table."""


def kept(code: str) -> str:
    """What is kept of a code: digests of it as written, and without regard to case."""
    return f"{MARK}{_digest(code)}:{_digest(code.casefold())}"


def known_as(code: str, table: Iterable[str]) -> str:
    """The code of the table that was kept like this: the same as written, else without regard to case; otherwise the text itself."""
    if not code.startswith(MARK):
        return code
    as_written, _, folded = code.removeprefix(MARK).partition(":")
    digests = {_digest(one): one for one in table}
    return digests.get(as_written) or digests.get(folded) or code


@lru_cache(maxsize=4_096)
def _digest(code: str) -> str:
    return hashlib.blake2b(code.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
