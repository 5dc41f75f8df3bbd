"""Runs that read the small EMR, and the resulting state of the store."""

from __future__ import annotations

from datetime import datetime

from adapters.base import Fetch
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from store.runs.runs import Run
from sync.engine import Engine
from sync.run import Lane
from tests.contract.small_emr import NAMES, WAYS, SmallEmr, reached
from tests.factories import CLINIC, FEED

LANE = Lane(FEED, CLINIC)
ANNOUNCING = [way for way in WAYS if way != "crawl"]  # a group's members are read one by one: the total is unknown


def read(engine: Engine, emr: SmallEmr, way: str, request: Fetch = Fetch()) -> Run:  # noqa: B008 - frozen
    """One run."""
    emr.requests.clear()
    return engine.run(LANE, emr.adapter(way), request, "incremental")


def cursor(engine: Engine, way: str) -> datetime | None:
    """The time up to which everything was read, by the stored cursor."""
    return reached(way, engine.journal.cursor(FEED))


def known(engine: Engine) -> dict[str, str]:
    """Do Not Contact of every patient in the store."""
    found = {}
    for name in NAMES:
        try:
            found[name] = engine.preferences.find(CLINIC, PatientRef(authority="GENHOSP", value=name)).contact.do_not_contact
        except PatientUnknown:
            continue
    return found


def everybody(value: str = "yes") -> dict[str, str]:
    """The same, if every patient has this value."""
    return dict.fromkeys(NAMES, value)
