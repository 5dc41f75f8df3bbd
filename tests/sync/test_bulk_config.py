"""The settings of bulk exports and request budgets in a site's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.fhir.bulk.adapter import BulkAdapter
from adapters.registry import build
from sync.config import inspect

HEAD = "database: sqlite:///x.db\nenterprises: {e: {sync_contact_preferences: true, time_zone: America/Chicago}}\nsources:\n  bulk:\n"
SOURCE = "    enterprise: e\n    adapter: fhir.bulk\n    base_url: https://ehr.example/r4\n"


def written(folder: Path, settings: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(HEAD + SOURCE + settings)
    return file


def test_bulk_settings_reach_the_adapter(tmp_path: Path) -> None:
    export = "    export: {level: group, group: g1, give_up_after: 2d}\n"
    text = export + '    budget: {bulk_every: 24h, quiet_hours: ["07:00-19:00"], parallel: 2}\n'
    settings = inspect(written(tmp_path, text), {}).settings
    assert settings is not None
    adapter = build(settings.feeds["bulk"].settings)
    assert isinstance(adapter, BulkAdapter)
    limits = adapter.budget.limits
    assert (adapter.options.path, adapter.options.give_up_after.days) == ("Group/g1/$export", 2)
    assert (limits.bulk_every.days, limits.parallel, limits.time_zone) == (1, 2, "America/Chicago")


def test_a_preset_sets_the_request_budget_of_its_servers(tmp_path: Path) -> None:
    settings = inspect(written(tmp_path, "    preset: epic\n    export: {level: group, group: g1}\n"), {}).settings
    assert settings is not None
    adapter = build(settings.feeds["bulk"].settings)
    assert isinstance(adapter, BulkAdapter)
    assert adapter.budget.limits.bulk_every.days == 1


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("    export: {level: grop}\n", "Did you mean 'group'"),
        ("    export: {level: group}\n", "set the id of the group"),
        ("    export: {sinse: true}\n", "Did you mean 'since'"),
        ("    budget: {quiet_hours: [7-9]}\n", "write it like 07:00-19:00"),
        ("    budget: {parallel: 0}\n", "parallel"),
        ("    read: crawl\n", "needs group"),
    ],
)
def test_errors_say_how_to_fix_them(tmp_path: Path, text: str, mend: str) -> None:
    reading = inspect(written(tmp_path, text), {})
    assert reading.settings is None
    assert any(mend in str(one) for one in reading.mistakes), reading.mistakes
