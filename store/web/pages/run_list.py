"""The operators' page of all runs over all sources, filtered by source, state and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from store.patients.preferences import Preferences
from store.preference import RecordOutcome
from store.runs.run_list import WantedRuns, some_runs
from store.runs.runs import Run, RunStatus
from store.web.pages import labels
from store.web.pages.console import OPERATORS
from store.web.pages.page import Page, Shown, Visit

AT_ONCE = 50
TIMES = {
    "hour": ("the last hour", timedelta(hours=1)),
    "day": ("the last 24 hours", timedelta(days=1)),
    "week": ("the last 7 days", timedelta(days=7)),
}
ACTIVE = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})


class RunList:
    """The page. A visitor sees only their own enterprise."""

    def __init__(self, store: Preferences) -> None:
        self.store = store

    def pages(self) -> Iterable[Page]:
        """The page, for operators."""
        return (Page("GET", "/runs", OPERATORS, self.show),)

    def show(self, visit: Visit) -> Shown:
        """Shows the runs that the address asks for."""
        chosen = {name: visit.query[name] for name in ("source", "state", "time", "before") if visit.query.get(name)}
        sources = {one.name: one.display_name or one.name for one in self.store.enterprises[visit.enterprise].sources}
        wanted = _wanted(chosen, visit.now)
        found = some_runs(self.store.database, visit.enterprise, wanted, AT_ONCE + 1) if wanted is not None else []
        runs = found[:AT_ONCE]
        older = {**chosen, "before": runs[-1].started.isoformat()} if len(found) > AT_ONCE else {}
        values = {
            "title": "Runs",
            "runs": runs,
            "records": {run.id: sum(run.counts.get(outcome, 0) for outcome in RecordOutcome) for run in runs},
            "took": {run.id: labels.span(end - run.started) for run in runs if (end := _end(run, visit.now)) is not None},
            "sources": {**({chosen["source"]: chosen["source"]} if "source" in chosen else {}), **sources},
            "states": [(str(status), str(status)) for status in RunStatus],
            "times": {name: title for name, (title, _) in TIMES.items()},
            "chosen": chosen,
            "here": _address(chosen),
            "older": _address(older) if older else "",
            "active": any(run.status in ACTIVE for run in runs),
            "refusal": "" if wanted is not None else "No runs match: the state or time in the address is unknown.",
        }
        return Shown("runs.html", values, 200 if wanted is not None else 422, part="runs_live.html")


def _wanted(chosen: Mapping[str, Any], now: datetime) -> WantedRuns | None:
    """The filter of an address, or ``None`` for one that no form of ours sends."""
    try:
        since = now - TIMES[chosen["time"]][1] if "time" in chosen else None
        status = RunStatus(chosen["state"]) if "state" in chosen else None
        before = datetime.fromisoformat(chosen["before"]) if "before" in chosen else None
    except (KeyError, ValueError):
        return None
    return None if before is not None and before.tzinfo is None else WantedRuns(chosen.get("source"), status, since, before)


def _end(run: Run, now: datetime) -> datetime | None:
    """Until when a run has taken; ``None`` for one that only waits for a decision."""
    return run.finished or (now if run.status in ACTIVE else None)


def _address(query: Mapping[str, str]) -> str:
    return f"/runs?{urlencode(query)}" if query else "/runs"
