"""Messages received under a wrong mapping and reread under the right one end as if the mapping had always been right (5.8), also with
the safeguard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

import pytest

from adapters.base import Payload
from store.db.database import Database
from store.holds.review import HeldReview
from store.runs.runs import Run
from sync.config.settings import SafeguardRule
from tests.sync.test_remap import LANE, LOOSE, PERSON, RIGHT, SWAPPED, Site, message

CODES = ("DNC", "OK", "")
MINUTES = ((0, 5, 10), (0, 5, 5))


class Case(NamedTuple):
    """Three messages of one patient, in order of receipt."""

    name: str
    codes: tuple[str, ...]
    minutes: tuple[int, ...]

    def sent(self, number: int, prefix: str) -> bytes:
        return message(f"{prefix}{self.name}", self.codes[number], self.minutes[number], f"{self.name}-{number}")


CASES = [Case(f"C{n}", codes, minutes) for n, (codes, minutes) in enumerate(product(product(CODES, repeat=3), MINUTES))]


def read(site: Site, mapping: Mapping[str, Any], bodies: Iterable[bytes]) -> Run:
    """One run over files."""
    payloads = [Payload(body, f"test:{number}", site.clock()) for number, body in enumerate(bodies)]
    return site.engine.feed(LANE, site.mapper(mapping), payloads)


def values(site: Site, prefix: str) -> dict[str, Any]:
    found = site.state(*(f"{prefix}{case.name}" for case in CASES))
    return {str(case): {name: one[:2] for name, one in state.items()} for case, state in zip(CASES, found, strict=True)}


@pytest.mark.parametrize(
    ("mappings", "again", "safeguard"),
    [
        pytest.param((RIGHT, SWAPPED, SWAPPED), (1, 2), LOOSE, id="the last two"),
        pytest.param((RIGHT, SWAPPED, SWAPPED), (1, 2), SafeguardRule(0, 0), id="the last two, approved by a person"),
        pytest.param((SWAPPED, RIGHT, SWAPPED), (0, 2), LOOSE, id="the first and the last"),
        pytest.param((SWAPPED, SWAPPED, SWAPPED), (2,), LOOSE, id="all, of which only one is read again"),
    ],
)
def test_rereading_messages_with_the_right_mapping_corrects_a_wrong_one(
    database: Database, mappings: tuple[dict[str, Any], ...], again: tuple[int, ...], safeguard: SafeguardRule
) -> None:
    site = Site(database)
    for number, mapping in enumerate(mappings):
        for prefix, by in (("never", RIGHT), ("wrong", mapping)):
            read(site, by, [case.sent(number, prefix) for case in CASES])
    assert values(site, "wrong") != values(site, "never")
    strict = Site(database, safeguard)
    run = read(strict, RIGHT, [case.sent(number, "wrong") for number in again for case in CASES])
    if run.status == "held":
        HeldReview(strict.store, strict.journal).approve(run.id, PERSON, strict.clock())
    assert values(strict, "wrong") == values(strict, "never")
