"""A source's configuration as text for its page. ``sync.describe`` builds it and leaves secrets out."""

from __future__ import annotations

from typing import NamedTuple


class DescribedRule(NamedTuple):
    """One rule of the mapping: its attribute, where it reads, the meaning of codes, and what it does otherwise."""

    attribute: str
    read_from: str
    codes: tuple[tuple[str, str], ...] = ()
    otherwise: str = ""


class About(NamedTuple):
    """A described source. ``rows``: names and values in display order. ``listens``: the EMR sends data, so it cannot be read on request.

    ``is_pushed``: its EMR also sends notifications. ``sink``: how opt-outs are written to it; empty if they are not.
    """

    rows: tuple[tuple[str, str], ...] = ()
    mapping: tuple[DescribedRule, ...] = ()
    listens: bool = False
    is_pushed: bool = False
    sink: str = ""
