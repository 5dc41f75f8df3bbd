"""The enterprises in force are looked at once a second, by one caller at a time."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest

from store.db.database import Database
from store.db.second_cache import KEPT_SECONDS
from store.domain.enterprise import Enterprise
from store.holds.configuration import Configurations, ConfigurationState

CLINIC = "clinic"


def test_while_one_caller_looks_the_others_go_by_what_stood(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    configurations = Configurations(database, {CLINIC: Enterprise(CLINIC)}, lambda: now[0])
    look, answered, looks = configurations.rows.state, [configurations[CLINIC]], []

    def looking(connection: Any, name: str) -> ConfigurationState:
        looks.append(name)
        other = Thread(target=lambda: answered.append(configurations[CLINIC]), daemon=True)
        other.start()
        other.join(20)
        return look(connection, name)

    monkeypatch.setattr(configurations.rows, "state", looking)
    now[0] = KEPT_SECONDS
    assert configurations[CLINIC] == answered[0]
    assert (len(answered), looks) == (2, [CLINIC])
