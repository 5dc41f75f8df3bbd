"""What the lines of an export's files say, in our words. Pure.

A deletion is no statement. That a record is gone from the EMR does not mean that its patient no longer refuses: what the patient
said stands, so that nothing is ever loosened by it. A Consent or Flag that is gone is shown to a person, since it may have permitted
something that nobody can look up any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from adapters.base import Filtered, Item, Payload, Unmappable
from adapters.fhir import outcome
from adapters.fhir.decode import NotReadable, decode
from adapters.fhir.manifest import DELETED, OUTCOME, ExportFile
from adapters.fhir.mapping import FhirMapper

NAMED = b"OperationOutcome"  # looked for first, since reading each line twice takes time


def items(mapper: FhirMapper, file: ExportFile, body: bytes, locator: str, received: datetime, stated: datetime | None) -> list[Item]:
    """The items of one line. ``stated`` is the transactionTime: as of then a resource without a time of its own is true."""
    if file.part == OUTCOME or (NAMED in body and outcome.severities(body)):
        return [_outcome(body, locator)]
    if file.part == DELETED:
        return list(_deletions(mapper, body, locator))
    return mapper.claims(Payload(body, locator, received, stated))


def _outcome(body: bytes, locator: str) -> Item:
    """What the server says about the export itself: an error means that something is missing in it."""
    found = outcome.severities(body)
    if found and not any(one in outcome.ERRORS for one in found):
        return Filtered("export_outcome", locator)
    said = outcome.summary(body) or "it cannot be read"
    return Unmappable("export_error", f"the server could not export everything ({said}): look there", locator, body)


def told(item: Item) -> str:
    """Why the export has a gap, for the run."""
    return item.detail if isinstance(item, Unmappable) else ""


def left_something_out(item: Item) -> bool:
    """Whether the item says that the export has gaps."""
    return isinstance(item, Unmappable) and item.reason in ("export_error", "export_file_short")


def _deletions(mapper: FhirMapper, body: bytes, locator: str) -> Iterator[Item]:
    """One line of a ``deleted`` file is a Bundle of DELETE requests."""
    try:
        bundle = decode(body)
    except NotReadable as error:
        yield Unmappable(error.reason, str(error), locator, body)
        return
    for index, entry in enumerate(_entries(bundle)):
        request = entry.get("request")
        url = str(request.get("url") or "") if type(request) is dict else ""
        yield _deletion(mapper, url.rpartition("/")[0].rpartition("/")[2], f"{locator}#entry[{index}]", body)


def _entries(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    entries = bundle.get("entry")
    return [one for one in entries if type(one) is dict] if type(entries) is list else []


def _deletion(mapper: FhirMapper, kind: str, locator: str, body: bytes) -> Item:
    if kind in ("Consent", "Flag") and mapper.rules.get(kind):
        detail = f"a {kind} that may have stated something was deleted: look at its patient in the EMR, what it stated still stands here"
        return Unmappable("record_deleted", detail, locator, body)
    return Filtered("patient_deleted" if kind == "Patient" else "resource_not_used", locator)
