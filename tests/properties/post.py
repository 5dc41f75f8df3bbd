"""The post between EMRs and the store: messages that are written, delivered, lost and sent again, and a database that dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from hypothesis import strategies as st
from sqlalchemy import Connection

from adapters.base import Explanation, Item, Payload, Unmappable
from store.db.database import Database
from store.preference import Codes, PatientMerge, PatientStatements, Problem, Statement
from tests.store.site import CELL, HOME, LINE, OTHER_LINE, WORK, cell

SOURCES = ("adt", "fhir", "lab")
NAMES = ("x", "y", "z")
LINES = (LINE, OTHER_LINE)
VALUES: dict[str, list[Any]] = {
    "do_not_contact": ["yes", "no", None],
    "preferred_method": ["none", "sms", None],
    "consent.sms": ["denied", "granted", None],
    "consent.voice": ["denied", "granted", None],
    "topic.recall.sms": ["denied", "granted", None],
    "language": ["en", "es", None],
    "phones": [(cell(CELL),), (cell(HOME),), (cell(HOME), cell(WORK)), None],
}


def permission(attribute: str) -> Any:
    """A value that allows what an opt-out of the attribute forbids."""
    return VALUES[attribute][1]


class Message(NamedTuple):
    """What a source says about a record, true since ``when``. ``is_fresh``: counted from two minutes ago, perhaps later than people's.

    ``width``: how many seconds long its time is, as some EMRs write hours or days only. ``unread``: an attribute that cannot be read.
    """

    name: str
    when: int
    stated: dict[str, Any]
    restricted: bool
    is_fresh: bool = False
    width: int = 0
    unread: str = ""


class Reply(NamedTuple):
    """What a patient texts to a line."""

    number: str
    line: str
    body: str
    when: int


stated = st.fixed_dictionaries({}, optional={attribute: st.sampled_from(values) for attribute, values in VALUES.items()})
sources, names, seconds = st.sampled_from(SOURCES), st.sampled_from(NAMES), st.integers(0, 60)
widths = st.sampled_from([0] * 12 + [4, 60])
unread = st.sampled_from(["", "", "", "", "", "", "do_not_contact", "consent.sms", "topic.recall.sms"])
messages = st.builds(Message, names, seconds, stated, st.booleans(), st.booleans(), widths, unread)
bodies, received = st.sampled_from(["STOP", "START", "STOPALL"]), st.one_of(seconds, st.just(60))
replies = st.builds(Reply, st.sampled_from([CELL, HOME]), st.sampled_from(LINES), bodies, received)
pairs = st.permutations(NAMES).map(lambda names: (names[0], names[1]))
seldom = st.sampled_from([False, False, False, True])
turns = st.one_of(st.just([0, 1]), st.just([0, 1, 2]), st.lists(st.integers(0, 2), min_size=2, max_size=4))
deaths = st.sampled_from(["", "", "", "before the commit", "after the commit"])


class Died(BaseException):
    """The process ends here. Nothing of ours catches it."""


class Mortal(Database):
    """A database whose next transaction dies where it is told to."""

    death = ""

    @contextmanager
    def write(self, enterprise: str, *, unbounded: bool = False) -> Iterator[Connection]:
        with super().write(enterprise, unbounded=unbounded) as transaction:
            yield transaction
            self._die("before the commit")
        self._die("after the commit")

    def _die(self, where: str) -> None:
        if self.death == where:
            self.death = ""
            raise Died(where)


class Letter(NamedTuple):
    """One message of an EMR."""

    number: int
    source: str
    item: PatientStatements | PatientMerge


class Post:
    """Maps a payload, which is a letter's number, to what the letter says; one that is ``damaged`` cannot be read."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.damaged: set[int] = set()

    def read(self, payload: Payload) -> list[Item]:
        number = int(payload.body.partition(b":")[2])
        if number in self.damaged:
            return [Unmappable("damaged", "mend the mapping", payload.locator)]
        return [self.letters[number].item]

    mapping = ""

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        return None

    def explain(self, payload: Payload) -> Explanation:
        return Explanation(self.read(payload))


def same_record(one: Letter, other: Letter) -> bool:
    first, second = one.item, other.item
    if isinstance(first, PatientMerge) or isinstance(second, PatientMerge) or one.source != other.source:
        return False
    return first.identifiers == second.identifiers and first.effective == second.effective
