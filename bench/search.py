"""Finding a patient among a million, on the page of the real service: by each kind of text, and by those that fit most patients.

One browser sends one search after the other, each time for somebody else. Measured is the time from the request to the last byte of the
list, or of the facesheet if there is one patient with that identifier. Every search is also committed to the audit log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from random import Random

from bench import asks, site
from bench.crowd import NOW
from bench.databases import Databases
from bench.figure import Figure
from bench.pages import Browsers, PageRequest, figures, sealed_config, serving
from bench.people import FAMILY, GIVEN, SEED, People, Person, names, people
from store.domain.lock import Role
from store.users.users import Users
from sync.config.loading import load
from sync.runtime import Runtime

MANY, FEW = 1_000_000, 20_000
LOOKED_FOR = 40
NOBODY, TWO_GIVEN = "nobody", "two frequent given names"
MAY_FIND_NOBODY = {NOBODY, TWO_GIVEN}


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    count, times = (FEW, 40) if quick else (MANY, 200)
    texts = searches(count)
    for kind in databases.kinds:
        with databases.fresh(kind) as url, asks.folder() as folder:
            config = sealed_config(folder, url)
            runtime = Runtime.open(load(config, {}))
            try:
                password = Users(runtime.database).add(Role.STAFF, site.ENTERPRISE, Role.STAFF, NOW)[1] or ""
                People(runtime.preferences, count).fill()
            finally:
                runtime.close()
            with serving(config) as (port, pid):
                browsers = Browsers(port, pid, {Role.STAFF: password})
                browsers.sign_in(Role.STAFF)
                for name, wanted in texts.items():
                    yield from _measured(kind, browsers, name, wanted, times, {"patients": count, "times": times})


def searches(count: int) -> Mapping[str, Sequence[str]]:
    """Texts by what they look for."""
    dice = Random(SEED)
    given, family = names(GIVEN, dice), names(FAMILY, dice)
    found = [one for index, one in enumerate(people(count)) if index % (count // LOOKED_FOR) == 0]
    return {
        "identifier": [one.mrn for one in found],
        "phone": [f"({one.phone[2:5]}) {one.phone[5:8]}-{one.phone[8:]}" for one in found],
        "birth date": [one.born for one in found],
        "name": [one.name for one in found],
        "family name": [one.name.split()[1] for one in found],
        "beginnings of both names": [" ".join(part[:3] for part in reversed(one.name.split())) for one in found],
        "family name and birth date": [f"{one.name.split()[1]} {one.born}" for one in found],
        "most frequent family name": [family[0]],
        "most frequent names": [f"{first} {last}" for first, last in zip(given[:5], family[:5], strict=True)],
        TWO_GIVEN: [f"{first} {second}" for first, second in zip(given[:5], given[5:10], strict=True)],
        "“s”": ["s"],
        "“ma”": ["ma"],
        "“s ma”": ["s ma"],
        "“s” and a year": [f"s {_year(one)}" for one in found],
        "a year": [_year(one) for one in found],
        NOBODY: ["zzyzx", "q zzyzx", "ma zzyzx", "s 1899"],
    }


def _year(one: Person) -> str:
    return one.born[:4]


def _measured(kind: str, browsers: Browsers, name: str, texts: Sequence[str], times: int, details: Mapping[str, int]) -> Iterator[Figure]:
    accepts = (404,) if name in MAY_FIND_NOBODY else ()
    requests = [PageRequest(name, Role.STAFF, "/patients", {"value": text}, accepts, follows=True) for text in texts]
    yield from figures("search", kind, browsers, name, list(islice(cycle(requests), times)), details)
