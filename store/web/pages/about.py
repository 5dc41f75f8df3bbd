"""A source's configuration in words, as its page shows it. Made by ``sync.describe``, which alone knows what is no secret."""

from __future__ import annotations

from typing import NamedTuple


class DescribedRule(NamedTuple):
    """One rule of the mapping: what it states, where it reads, which codes mean what, and what else it does."""

    attribute: str
    read_from: str
    codes: tuple[tuple[str, str], ...] = ()
    otherwise: str = ""


class About(NamedTuple):
    """``rows``: name and value, in the order to read them. ``listens``: the EMR calls us, so that it cannot be read."""

    rows: tuple[tuple[str, str], ...] = ()
    mapping: tuple[DescribedRule, ...] = ()
    listens: bool = False
