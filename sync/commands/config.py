"""``check-config`` and ``check``: checks before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from adapters.base import Finding
from adapters.registry import LISTENERS
from sync.commands import configured, output
from sync.commands.configured import SourceName, has_database
from sync.commands.output import AsJson
from sync.config import ConfigProblem, Settings, inspect
from sync.describe import SourceSummary, overview
from sync.sources import adapter, feed


def check_config(context: typer.Context, as_json: AsJson = False) -> None:
    """Check the configuration; list every error with its line and its fix."""
    file = configured.file(context)
    from sync.config.whole import check as check_whole  # what it needs for keys is slow to import

    reading = inspect(file, more=check_whole)
    wrong = [one for one in reading.mistakes if not one.warning]
    found = _database_warnings(reading.settings) if reading.settings else ()
    mistakes = (*reading.mistakes, *found)
    if as_json:
        output.emit({"file": str(file), "ok": not wrong, "mistakes": [_mistake(one) for one in mistakes], **_configured(reading.settings)})
    else:
        for one in mistakes:
            output.say(f"{'warning' if one.warning else 'error'}: {one}")
        warnings = len(mistakes) - len(wrong)
        state = output.number(len(wrong), "error") if wrong else "valid"
        suffix = f", {output.number(warnings, 'warning')}" if warnings else ""
        output.say(f"{file}: {state}{suffix}")
        if reading.settings:
            _show(reading.settings)
    if wrong:
        raise typer.Exit(2)


def _configured(settings: Settings | None) -> dict[str, Any]:
    """What is configured, as JSON; nothing if there is an error."""
    if settings is None:
        return {}
    return {"listen": str(settings.listen), "sources": [overview(one)._asdict() for one in settings.feeds.values()]}


def _show(settings: Settings) -> None:
    """What is configured: where it listens, what it reads, and when."""
    output.say()
    if settings.feeds:
        several = len(settings.enterprises) > 1
        columns = ("source", *(["enterprise"] if several else []), "adapter", "preset", "address", "read", "rules")
        rows = [(feed.name, *([feed.enterprise] if several else []), *_row(overview(feed))) for feed in settings.feeds.values()]
        output.table(columns, rows)
    output.say(f"API and pages: {'https' if settings.tls else 'http'}://{settings.listen}")


def _row(one: SourceSummary) -> tuple[object, ...]:
    when = one.schedule or ("as messages arrive" if one.adapter in LISTENERS else "by resync and ingest")
    full = f", everything {one.full_resync}" if one.full_resync else ""
    return one.adapter, one.preset, one.address, when + full, len(one.mapping)


def _database_warnings(settings: Settings) -> tuple[ConfigProblem, ...]:
    """Warnings from the database about earlier configurations, if there is a database."""
    if not has_database(settings):
        return ()
    from sync.commands.config_checks import held_back, missing_keys, removed_enterprises, to_be_written
    from sync.commands.release import orphans  # the store is only imported if there is a database
    from sync.commands.remap import other_mappings

    notes = (*removed_enterprises(settings), *other_mappings(settings), *to_be_written(settings), *missing_keys(settings))
    return (*orphans(settings), *held_back(settings), *notes)


def _mistake(one: ConfigProblem) -> dict[str, Any]:
    return {"line": one.line, "where": one.where, "message": one.message, "severity": "warning" if one.warning else "error"}


def check(context: typer.Context, source: SourceName, as_json: AsJson = False) -> None:
    """Test the connection to an EMR: access, capabilities, a sample read and mapped; and how the sync works around limits.

    Needs no database. If there is one, the findings are saved for the console, and the state of push and write-back is shown.
    """
    settings, found = configured.settings(context), list[Finding]()
    for finding in adapter(feed(settings, source)).check():
        found.append(finding)
        _tell(finding, as_json=as_json)
    for finding in _kept(settings, source, found):
        found.append(finding)
        _tell(finding, as_json=as_json)
    if as_json:
        output.emit({"source": source, "ok": all(one.ok for one in found), "findings": [one._asdict() for one in found]})
    if not all(one.ok for one in found):
        raise typer.Exit(1)


def _tell(finding: Finding, *, as_json: bool) -> None:
    if not as_json:
        output.say(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what}: {finding.detail}")


def _kept(settings: Settings, source: str, found: Sequence[Finding]) -> Sequence[Finding]:
    """Saves the findings for the console; returns those about push and write-back. Without a database a note says that nothing is saved."""
    from store.db import schema
    from store.runs.source_checks import Checked, Findings
    from sync.commands.deliveries import deliveries
    from sync.commands.release import if_there
    from sync.runtime import utc_now

    lines = tuple(Checked(one.what, one.ok, one.detail) for one in found)
    try:
        with if_there(settings) as database:
            schema.check(database)
            Findings(database).keep_check(source, settings.feeds[source].enterprise, lines, now=utc_now())
            return list(deliveries(settings.feeds[source], database))
    except Exception:
        output.note("not saved for the console: the database is missing, or its version differs")
        return ()
