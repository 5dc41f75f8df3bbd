"""Reads the files of an export: whether a file is complete, and the items of its lines. Pure, except for the file that it reads.

Proxies return an error page with status 200, connections end in the middle of a line without an error, and some servers write one document
over many lines. Without a check, such a file would look empty. Source: http://ndjson.org/, Bulk Data Access IG.

A deletion is no statement: that a record was deleted in the EMR does not mean that its patient no longer refuses. So it never permits more
contact. A deleted Consent or Flag is shown to a person, because it may have permitted something that can no longer be looked up.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import IO, Any

import msgspec

from adapters.base import Filtered, Item, Payload, Unmappable
from adapters.fhir import outcome
from adapters.fhir.bulk.manifest import DELETED, OUTCOME, ExportFile
from adapters.fhir.decode import NotReadable, decode
from adapters.fhir.files import GZIP
from adapters.fhir.mapping import FhirMapper
from adapters.http import unexpected
from adapters.http.download import DownloadLimits, TooLarge
from adapters.mapping.legible import BYTE_ORDER_MARK

LINE_NAMED = b"OperationOutcome"  # searched for first, because parsing each line twice takes time


def items(
    mapper: FhirMapper, file: ExportFile, body: bytes, locator: str, received: datetime, stated: datetime | None
) -> list[Item | Payload]:
    """The items of one line. ``stated``: the transactionTime, which is the time of a resource without a time of its own."""
    if file.part == OUTCOME or (LINE_NAMED in body and outcome.severities(body)):
        return [_outcome(body, locator)]
    if file.part == DELETED:
        return list(_deletions(mapper, body, locator))
    return mapper.unread(Payload(body, locator, received, stated))


def _outcome(body: bytes, locator: str) -> Item:
    """The item of an OperationOutcome about the export: an error means that the export has gaps."""
    found = outcome.severities(body)
    if found and not any(one in outcome.ERRORS for one in found):
        return Filtered("export_outcome", locator)
    issues = outcome.summary(body) or "it cannot be read"
    return Unmappable("export_error", f"the server could not export everything ({issues}): check the server", locator, body)


def gap_reason(item: Item | Payload) -> str:
    """The reason of a gap, for the run."""
    return item.detail if isinstance(item, Unmappable) else ""


def is_gap(item: Item | Payload) -> bool:
    """Whether the item means that the export has gaps."""
    return isinstance(item, Unmappable) and item.reason in ("export_error", "export_file_short")


def _deletions(mapper: FhirMapper, body: bytes, locator: str) -> Iterator[Item]:
    """The items of one line of a ``deleted`` file: a Bundle of DELETE requests."""
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
        detail = f"a {kind} was deleted that may have set a preference: check its patient in the EMR. It is still in effect here"
        return Unmappable("record_deleted", detail, locator, body)
    return Filtered("patient_deleted" if kind == "Patient" else "resource_not_used", locator)


DEFAULT_LIMITS = DownloadLimits()
NAMED = b'"resourceType"'

_raw = msgspec.json.Decoder(msgspec.Raw).decode


def lines(content: IO[bytes], limits: DownloadLimits = DEFAULT_LIMITS) -> Iterator[tuple[int, bytes]]:
    """The non-empty lines with their numbers from 1, except a truncated last line. None if the file is not NDJSON."""
    found, broken = _read(content, limits)
    head = list(islice(found, 2))
    if not _is_ndjson(head):
        return
    before: tuple[int, bytes] | None = None
    for one in chain(head, found):
        if before is not None:
            yield before
        before = one
    if before is not None and not broken and _is_complete(before[1]):
        yield before


def defect(content: IO[bytes], announced: int | None, limits: DownloadLimits = DEFAULT_LIMITS) -> str:
    """Why the file is incomplete, for people; empty if it is complete. ``announced``: the number of lines in the manifest.

    Raises :class:`~adapters.http.download.TooLarge` if the decompressed file, or one of its lines, is too large.
    """
    found, broken = _read(content, limits)
    head = list(islice(found, 2))
    if head and not _is_ndjson(head):
        return "the file ends in the middle of its first line" if _is_truncated(head) else f"the file is {_description(head)}, not NDJSON"
    # An unreadable line in the middle affects one record only: the mapping rejects it.
    count, last = 0, b"{}"
    for _, line in chain(head, found):
        count, last = count + 1, line
    if broken or not _is_complete(last):
        return "the gzip file is truncated" if broken else "the file ends in the middle of a line"
    missing = (announced or 0) - count
    return f"{missing} lines fewer than the {announced} in the server's manifest" if missing > 0 else ""


def _is_ndjson(head: Sequence[tuple[int, bytes]]) -> bool:
    """Whether the file is NDJSON: one of its first two lines is a resource."""
    return any(_looks_like_object(line) and NAMED in line for _, line in head)


def _is_truncated(head: Sequence[tuple[int, bytes]]) -> bool:
    return len(head) == 1 and head[0][1].startswith(b"{") and not _is_complete(head[0][1])


def _description(head: Sequence[tuple[int, bytes]]) -> str:
    start = b"\n".join(line for _, line in head)
    return "JSON spread over several lines" if start[:1] in (b"{", b"[") and not _is_complete(start) else unexpected.described(start)


def _looks_like_object(line: bytes) -> bool:
    """Whether the line looks like a JSON object."""
    return line.startswith(b"{") and line.endswith(b"}")


def _is_complete(line: bytes) -> bool:
    try:
        _raw(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return _looks_like_object(line)


def _read(content: IO[bytes], limits: DownloadLimits) -> tuple[Iterator[tuple[int, bytes]], list[bool]]:
    """The non-empty lines, and a list that is filled when their compression turns out to be damaged."""
    broken: list[bool] = []
    return _lines(content, broken, limits), broken


def _lines(content: IO[bytes], broken: list[bool], limits: DownloadLimits) -> Iterator[tuple[int, bytes]]:
    content.seek(0)
    is_gzip = content.read(len(GZIP)) == GZIP
    content.seek(0)
    opened = gzip.GzipFile(fileobj=content) if is_gzip else content
    try:
        for number, line in enumerate(_bounded(opened, limits), 1):
            text = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).strip()
            if text:
                yield number, text
    except (gzip.BadGzipFile, EOFError, zlib.error):
        broken.append(True)


def _bounded(opened: IO[bytes] | gzip.GzipFile, limits: DownloadLimits) -> Iterator[bytes]:
    room = limits.max_file_bytes
    while line := opened.readline(limits.max_line_bytes + 1):
        room -= len(line)
        if len(line) > limits.max_line_bytes:
            raise TooLarge(limits.line)
        if room < 0:
            raise TooLarge(limits.file)
        yield line
