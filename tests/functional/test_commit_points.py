"""The process dies just before each commit of its work and after the last, and restarts: nothing is lost, doubled or permitted by mistake.

Each scenario is played once without a crash, with a snapshot of the store after each commit. Then, for every commit, a separate process
plays it and ends just before (``os._exit``), with its transaction open. It must leave the snapshot of the commit before. A death just after
that commit would leave the same, with less in it to roll back. When the work is done again from the start, as a sender, a scheduler or a
person would do it, the result must be that of the run without a crash.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.functional.crashing import DIED, Program, Work, merge, run_until_death, statement

clinics = itertools.count()

BEFORE = (statement("a", 10, "yes"), statement("b", 10, "no"), statement("c", 10, "no", consent_sms="denied"))
LATER = (statement("a", 5, "no"), statement("b", 20, "yes"), statement("c", 20, "no", consent_sms="granted"), statement("d", 1, "yes"))


class Scenario(NamedTuple):
    """``setup`` runs without a crash; ``work`` dies. ``floor`` is the safeguard's: 0 holds every change that permits contact."""

    setup: Work
    work: Work
    floor: int = 50


def empty(program: Program) -> None:
    """Starts from an empty store."""


def with_statements(program: Program) -> None:
    program.ingest(BEFORE)


def opted_out_by_text(program: Program) -> None:
    program.ingest(BEFORE)
    program.reply("STOP", 30)


def not_understood(program: Program) -> None:
    program.ingest(BEFORE, [statement("b", 20, "?"), statement("d", 20, "?")], [statement("b", 30, "no")])


def held_by_the_safeguard(program: Program) -> None:
    program.ingest([statement("a", 10, "yes"), statement("b", 10, "yes"), statement("c", 10, "yes", consent_sms="denied")])
    program.read([statement("a", 20, "no"), statement("b", 20, "no")], [statement("c", 20, "no", consent_sms="granted")])
    program.ingest([statement("b", 30, "yes")])


def merged_by_mistake(program: Program) -> None:
    program.ingest(BEFORE, [merge("b", "a", 50)], [statement("a", 60, "no"), statement("b", 70, "no", consent_sms="denied")])


def released(program: Program) -> None:
    program.ingest(BEFORE)
    program.release()


def three_replies(program: Program) -> None:
    for body, seconds in (("START", 20), ("STOP", 30), ("START", 25)):
        program.reply(body, seconds)


SCENARIOS = {
    "intake": Scenario(with_statements, lambda program: program.ingest(LATER[:2], LATER[2:], BEFORE)),
    "intake of merges": Scenario(
        opted_out_by_text, lambda program: program.ingest(LATER[:1], [merge("b", "a", 50)], [merge("d", "c", 60)], LATER)
    ),
    "intake under the safeguard": Scenario(with_statements, lambda program: program.ingest(LATER, [statement("a", 90, "no")]), floor=0),
    "run": Scenario(with_statements, lambda program: program.read(LATER[:2], [statement("d", 9, "?")], LATER[2:], [merge("b", "a", 50)])),
    "run that the safeguard holds": Scenario(with_statements, lambda program: program.read(LATER, [statement("a", 90, "no")]), floor=0),
    "first run": Scenario(empty, lambda program: program.read(BEFORE, LATER)),
    "replay": Scenario(not_understood, lambda program: program.replay()),
    "approve": Scenario(held_by_the_safeguard, lambda program: program.approve(), floor=0),
    "unmerge": Scenario(merged_by_mistake, lambda program: program.unmerge("a")),
    "release": Scenario(held_by_the_safeguard, lambda program: program.release(), floor=0),
    "undo of a release": Scenario(released, lambda program: program.undo_release()),
    "change of keys": Scenario(not_understood, lambda program: program.change_keys()),
    "removal of old receipts": Scenario(lambda program: program.view_patients(9), lambda program: program.shorten()),
    "attesting the history": Scenario(not_understood, lambda program: program.attest()),
    "replies": Scenario(with_statements, three_replies),
}


def without_crash(url: str, scenario: Scenario) -> list[dict[str, object]]:
    """The snapshots before the work and after each of its commits."""
    program = Program(url, f"clinic-{next(clinics)}", floor=scenario.floor)
    scenario.setup(program)
    pictures = [program.snapshot()]
    program.database.seen = lambda: pictures.append(program.snapshot())
    scenario.work(program)
    program.close()
    return pictures


def restart(url: str, clinic: str, scenario: Scenario, check: Callable[[dict[str, object]], None]) -> dict[str, object]:
    """Restarts the program; ``check`` gets the state that it finds, then the work is done from the start."""
    program = Program(url, clinic, floor=scenario.floor)
    check(program.snapshot())
    scenario.work(program)
    found = program.snapshot()
    program.close()
    return found


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_at_each_commit_loses_and_duplicates_nothing(name: str, database_url: str) -> None:
    scenario = SCENARIOS[name]
    pictures = without_crash(database_url, scenario)
    assert len(pictures) > 1
    assert pictures[0] != pictures[-1]
    commits = len(pictures) - 1
    for where, commit in [*(("before", number) for number in range(1, commits + 1)), ("after", commits)]:
        clinic = f"clinic-{next(clinics)}"
        setup = Program(database_url, clinic, floor=scenario.floor)
        scenario.setup(setup)
        setup.close()
        assert run_until_death(database_url, clinic, (where, commit), scenario.work, scenario.floor) == DIED

        def state_after_crash(snapshot: dict[str, object], commit: int = commit, where: str = where) -> None:
            assert snapshot == pictures[commit - (where == "before")], f"{where} commit {commit}: half of it was left"

        assert restart(database_url, clinic, scenario, state_after_crash) == pictures[-1], f"{where} commit {commit}"
