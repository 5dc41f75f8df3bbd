"""Runs that read the small EMR, and what the store then knows."""

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
ANNOUNCING = [way for way in WAYS if way != "crawl"]  # a group's members are read one by one: nothing is announced


def read(engine: Engine, emr: SmallEmr, way: str, request: Fetch = Fetch()) -> Run:  # noqa: B008 - frozen
    """One run."""
    emr.asked.clear()
    return engine.run(LANE, emr.adapter(way), request, "incremental")


def cursor(engine: Engine, way: str) -> datetime | None:
    """Up to when everything came, by the cursor that the store keeps."""
    return reached(way, engine.journal.cursor(FEED))


def known(engine: Engine) -> dict[str, str]:
    """What the store says about Do Not Contact of everybody it knows."""
    found = {}
    for name in NAMES:
        try:
            found[name] = engine.preferences.find(CLINIC, PatientRef(authority="GENHOSP", value=name)).contact.do_not_contact
        except PatientUnknown:
            continue
    return found


def everybody(value: str = "yes") -> dict[str, str]:
    """The same, where all of them say so."""
    return dict.fromkeys(NAMES, value)
