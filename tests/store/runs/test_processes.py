"""What each process says of itself, and what others make of it: who is gone, and who cannot take messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from store.db.database import Database
from store.runs.intake_state import IntakeState
from store.runs.processes import Place, Processes, Seen, gone, joined, standing

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
ADT, LAB, WORK = Place("listen", "adt", "clinic"), Place("listen", "lab", "clinic"), Place("work")
WITNESS = Seen("w", Place("api"), NOON - timedelta(days=1), NOON - timedelta(days=1), NOON + timedelta(seconds=99))
FULL = "the database's disk is full"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def seen(process: str, place: Place, started: float, last: float) -> Seen:
    return Seen(process, place, at(started), at(started), at(last))


@pytest.mark.parametrize(
    ("others", "missing"),
    [
        ([], True),
        ([seen("b", ADT, -500, 99)], True),  # it was there all the time: one of two is gone
        ([seen("b", ADT, 3, 99)], False),  # started in its place
        ([seen("b", ADT, 3, 50)], True),  # and is gone, too
        ([seen("b", LAB, 3, 99)], True),
        ([seen("b", WORK, 3, 99)], True),
    ],
)
def test_a_process_is_missed_until_another_starts_in_its_place(others: list[Seen], missing: bool) -> None:
    killed = seen("a", ADT, -1000, 0)
    assert (killed in gone([killed, *others, WITNESS], at(100))) is missing


def test_a_sign_of_life_may_be_late_but_not_for_long() -> None:
    one = seen("a", WORK, -1000, 0)
    assert gone([one, WITNESS], at(20)) == []
    assert gone([one, WITNESS], at(21)) == [one]
    assert gone([one, WITNESS._replace(seen=at(8 * 86400))], at(8 * 86400)) == [], "after a week nobody waits for it"


@pytest.mark.parametrize(("steady", "missed"), [(-900, True), (30, True), (31, False), (50, False)])
def test_nobody_is_missed_where_the_database_was_away_a_moment_ago(steady: float, missed: bool) -> None:
    one, other = seen("a", WORK, -1000, 0), seen("b", ADT, -1000, 50)._replace(steady=at(steady))
    assert gone([one, other], at(50)) == ([one] if missed else [])
    assert gone([one, other._replace(seen=at(1))], at(50)) == [], "nobody gives signs"


def test_what_several_listeners_of_a_source_cannot_take_is_one_line() -> None:
    first, second = IntakeState("clinic", "adt", at(5), 3, "later"), IntakeState("clinic", "adt", at(1), 4, FULL)
    other = IntakeState("clinic", "lab", at(2), 1, FULL)
    assert joined([first, other, second]) == (IntakeState("clinic", "adt", at(1), 7, FULL), other)


@pytest.fixture
def processes(database: Database) -> Callable[[str], Processes]:
    return lambda name: Processes(database, name)


def test_each_process_reads_what_all_said_of_themselves(database: Database, processes: Callable[[str], Processes]) -> None:
    a, b, wrong = processes("a"), processes("b"), IntakeState("clinic", "adt", at(-9), 12, FULL)
    a.beat([ADT, LAB], at(-60), [wrong])
    b.beat([WORK], at(-30))
    found = {(one.process, one.place): one for one in b.read()}
    assert set(found) == {("a", ADT), ("a", LAB), ("b", WORK)}
    assert found["a", ADT].intake() == wrong
    assert found["a", LAB].intake() is None
    assert standing(list(found.values()), b.now()) == (
        {"alive": {"listen": 2, "work": 1}, "gone": {}},
        (wrong,),
    )
    a.beat([ADT, LAB], at(-60))
    assert standing(b.read(), b.now()).failing == ()
    a.leave()
    assert [one.process for one in b.read()] == ["b"]


def test_what_was_replaced_is_removed_and_what_is_missed_stays(database: Database, processes: Callable[[str], Processes]) -> None:
    now = datetime.now(UTC)
    ago = lambda seconds: now - timedelta(seconds=seconds)  # noqa: E731
    for name, clock, places, started in (("old", 100, [ADT, WORK], 900), ("new", 0, [ADT], 5)):
        database.clock = lambda clock=clock: ago(clock)  # type: ignore[misc]
        database.skew = timedelta(0)
        processes(name).beat(places, ago(started))
    database.skew = timedelta(0)
    processes("new").sweep()
    assert gone(processes("new").read(), processes("new").now()) == [], "nobody was there for long enough to miss it"
    assert [(one.process, one.place) for one in processes("new").read()] == [("new", ADT), ("old", WORK)]
