"""Messages between EMRs and the store: written, delivered, lost and resent; and a database that dies at a commit."""

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
    """A value that permits what an opt-out of the attribute forbids."""
    return VALUES[attribute][1]


class Message(NamedTuple):
    """The statements of a source about a record, effective at ``when``. ``is_fresh``: counted from two minutes ago, perhaps after people.

    ``width``: the width of its time in seconds, because some EMRs write only hours or days. ``unread``: an unreadable attribute.
    """

    name: str
    when: int
    stated: dict[str, Any]
    restricted: bool
    is_fresh: bool = False
    width: int = 0
    unread: str = ""


class Reply(NamedTuple):
    """A text reply of a patient to a line."""

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
    """A crash of the process. No product code catches it."""


class CrashingDatabase(Database):
    """A database whose next transaction dies at the point in ``death``."""

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
    """Maps a payload (the number of a letter) to the item of the letter. A ``damaged`` letter is unmappable."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.damaged: set[int] = set()

    def read(self, payload: Payload) -> list[Item]:
        number = int(payload.body.partition(b":")[2])
        if number in self.damaged:
            return [Unmappable("damaged", "fix the mapping", payload.locator)]
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
