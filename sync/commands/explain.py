"""``explain``: what a source's mapping reads in files, for the engineer's own screen. Needs no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from adapters.base import Explanation, Payload, Unmappable
from store import times
from store.preference import PatientMerge, PatientStatements, RecordOutcome, base
from store.times import Time
from sync.commands import configured, output
from sync.commands.configured import SourceName
from sync.commands.output import AsJson
from sync.sources import adapter, feed

STATED, MERGE = "stated", "merge"
ROWS, VALUES = 40, 3
"""The most rows of a table, and the most values of a field that nothing reads, unless everything is shown."""
NOUNS = {"hl7v2": "message", "fhir": "resource"}


class Limits(NamedTuple):
    """How much is shown; ``None`` for everything."""

    rows: int | None
    values: int | None


def explain(
    context: typer.Context,
    source: SourceName,
    file: Annotated[Path, typer.Argument(help="A file with one or more messages, resources or bundles.", exists=True, dir_okay=False)],
    limit: Annotated[int, typer.Option(help="The maximum number of messages or resources to read.", min=1)] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Read the whole file, and show every row.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a source's mapping reads messages or resources: values with their paths, unmapped codes, and what is not read."""
    known = feed(configured.settings(context), source)
    reader = adapter(known)
    payloads = reader.payloads(file)
    explained = [(payload, reader.mapper.explain(payload)) for payload in islice(payloads, None if everything else limit)]
    if as_json:
        output.emit({"source": source, "payloads": [_explanation(*one) for one in explained], "unmapped": _ranked(explained)})
        return
    noun = NOUNS.get(known.settings.adapter.partition(".")[0], "record")
    limits = Limits(None, None) if everything else Limits(ROWS, VALUES)
    for payload, one in explained:
        _show(payload, one, limits)
    _show_totals(explained, noun, limits, more=next(payloads, None) is not None)
    if any(one.unmapped for _, one in explained):
        output.say(f"\nThe lines for the mapping: emr-sync map {source} FILE")


Explained = Sequence[tuple[Payload, Explanation]]


def _ranked(explained: Explained) -> list[dict[str, Any]]:
    unmapped = Counter(pair for _, one in explained for pair in one.unmapped)
    return [{"path": path, "code": code, "times": number} for (path, code), number in unmapped.most_common()]


def _explanation(payload: Payload, one: Explanation) -> dict[str, Any]:
    return {
        "locator": payload.locator,
        "items": [_item(item) for item in one.items],
        "stated": [{"attribute": attribute, "value": value, "path": path} for attribute, value, path in one.stated],
        "unused": [{"path": path, "shape": shape} for path, shape in one.unused],
        "unmapped": [{"path": path, "code": code} for path, code in one.unmapped],
    }


def _effective(time: Time) -> dict[str, datetime | None]:
    """The time of the statement; with ``effective_latest`` if it is less precise than a second."""
    return {"effective": time.earliest, "effective_latest": time.latest if time.latest - time.earliest >= times.SECOND else None}


def _item(item: Any) -> dict[str, Any]:
    if isinstance(item, PatientStatements):
        return {
            "outcome": STATED,
            "identifiers": [identifier._asdict() for identifier in item.identifiers],
            **_effective(item.effective),
            "evidence": item.evidence_id,
            "later": [{"attribute": one.attribute, "from": one.due, "value": one.value, "path": one.path} for one in item.later],
            "problems": [problem._asdict() for problem in item.problems],
        }
    if isinstance(item, PatientMerge):
        return {"outcome": MERGE, "survivor": item.survivor, "merged": item.merged, **_effective(item.effective)}
    if isinstance(item, Unmappable):
        return {"outcome": RecordOutcome.REJECTED, "reason": item.reason, "detail": item.detail, "path": item.path}
    return {"outcome": RecordOutcome.FILTERED, "reason": item.reason}


def _show(payload: Payload, one: Explanation, limits: Limits) -> None:
    output.say(payload.locator)
    for item in map(_item, one.items):
        output.say(f"  {_in_words(item)}")
        for problem in item.get("problems", ()):
            output.say(f"  cannot be used: {problem['path']}: {problem['detail'] or ''} ({problem['reason']})")
    rows = [(f"  {base(attribute)}", shown(value), path) for attribute, value, path in one.stated]
    later = [one for item in map(_item, one.items) for one in item.get("later", ())]
    rows += [(f"  {base(one['attribute'])}, from {output.word(one['from'])}", shown(one["value"]), one["path"]) for one in later]
    if rows:
        _table(("  attribute", "value", "path"), rows, limits.rows)
    output.say()


def _in_words(item: Mapping[str, Any]) -> str:
    """The outcome of an item in one line."""
    if item["outcome"] == STATED:
        return f"stated {_time(item)} ({item['evidence']})"
    if item["outcome"] == MERGE:
        return f"merge of {_names(item['merged'])} into {_names(item['survivor'])}, {_time(item)}"
    if item["outcome"] == RecordOutcome.FILTERED:
        return f"not used: {item['reason'].replace('_', ' ')}"
    return f"rejected: {item['detail']} ({' at '.join(filter(None, (item['reason'], item['path'])))})"


def _time(item: Mapping[str, Any]) -> str:
    earliest, latest = output.word(item["effective"]), output.word(item["effective_latest"])
    return f"between {earliest} and {latest}" if latest else f"at {earliest}"


def _names(identifiers: Iterable[Sequence[str]]) -> str:
    return ", ".join("|".join(one) for one in identifiers)


def _show_totals(explained: Explained, noun: str, limits: Limits, *, more: bool) -> None:
    """What is found in all of them together: outcomes, unmapped codes, and fields that nothing reads."""
    outcomes = Counter(_item(item)["outcome"] for _, one in explained for item in one.items)
    rest = "; the file has more: --all reads it all" if more else ""
    output.say(f"{output.number(len(explained), noun)}: {output.counted(outcomes)}{rest}")
    if ranked := _ranked(explained):
        output.say()
        _table(("unmapped at", "code", "times"), [tuple(one.values()) for one in ranked], limits.rows)
    if unused := list(_unused(explained, limits)):
        output.say()
        _table(("not read", f"{noun}s", "values"), unused, limits.rows)


def _unused(explained: Explained, limits: Limits) -> Iterator[tuple[object, ...]]:
    """(path, number of payloads, most frequent values) of what is not read."""
    found: dict[str, Counter[str]] = {}
    for _, one in explained:
        for path, shape in dict(one.unused).items():
            found.setdefault(path, Counter())[shape] += 1
    for path, values in found.items():
        named = [f"{shape} ({number})" if number > 1 else shape for shape, number in values.most_common(limits.values)]
        left = len(values) - len(named)
        yield path, values.total(), ", ".join(named) + (f" and {left} more" if left else "")


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]], limit: int | None) -> None:
    output.table(columns, rows[:limit])
    if left := len(rows) - len(rows[:limit]):
        output.say(f"  and {left} more; --all shows them")


def shown(value: Any) -> str:
    """A stated value as text; a cleared value is marked."""
    if value is None:
        return "(cleared: unknown)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return "; ".join(shown(one) for one in value) or "(none)"
    return f"{value.number} ({value.kind})" if hasattr(value, "number") else str(value)
