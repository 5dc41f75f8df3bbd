"""Whether a file of an export is whole: every line a resource, to the last one. Pure but for the file that it reads.

Proxies answer with an error page and status 200, connections end in the middle of a line without an error, and some servers write one
document over many lines. Such a file passes for an empty one unless it is looked at. Source: http://ndjson.org/, Bulk Data Access IG.

What the lines of an export's files say, in our words. Pure.

A deletion is no statement. That a record is gone from the EMR does not mean that its patient no longer refuses: what the patient
said stands, so that nothing is ever loosened by it. A Consent or Flag that is gone is shown to a person, since it may have permitted
something that nobody can look up any more.
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

LINE_NAMED = b"OperationOutcome"  # looked for first, since reading each line twice takes time


def items(mapper: FhirMapper, file: ExportFile, body: bytes, locator: str, received: datetime, stated: datetime | None) -> list[Item]:
    """The items of one line. ``stated`` is the transactionTime: as of then a resource without a time of its own is true."""
    if file.part == OUTCOME or (LINE_NAMED in body and outcome.severities(body)):
        return [_outcome(body, locator)]
    if file.part == DELETED:
        return list(_deletions(mapper, body, locator))
    return mapper.read_unconfirmed(Payload(body, locator, received, stated))


def _outcome(body: bytes, locator: str) -> Item:
    """What the server says about the export itself: an error means that something is missing in it."""
    found = outcome.severities(body)
    if found and not any(one in outcome.ERRORS for one in found):
        return Filtered("export_outcome", locator)
    said = outcome.summary(body) or "it cannot be read"
    return Unmappable("export_error", f"the server could not export everything ({said}): check the server", locator, body)


def gap_reason(item: Item) -> str:
    """Why the export has a gap, for the run."""
    return item.detail if isinstance(item, Unmappable) else ""


def is_gap(item: Item) -> bool:
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
        detail = f"a {kind} was deleted that may have set a preference: check its patient in the EMR. It is still in effect here"
        return Unmappable("record_deleted", detail, locator, body)
    return Filtered("patient_deleted" if kind == "Patient" else "resource_not_used", locator)


DEFAULT_LIMITS = DownloadLimits()
NAMED = b'"resourceType"'

_raw = msgspec.json.Decoder(msgspec.Raw).decode


def lines(content: IO[bytes], limits: DownloadLimits = DEFAULT_LIMITS) -> Iterator[tuple[int, bytes]]:
    """Lines that hold something, with their numbers from 1, but for the one at which the file broke off. None of a file without lines."""
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
    """Why the file is not whole, for people; empty when it is. ``announced`` is how many lines the manifest names.

    Raises :class:`~adapters.http.download.TooLarge` when the file, decompressed, or one of its lines is.
    """
    found, broken = _read(content, limits)
    head = list(islice(found, 2))
    if head and not _is_ndjson(head):
        return "the file ends in the middle of its first line" if _is_truncated(head) else f"the file is {_description(head)}, not NDJSON"
    # A line in the middle that cannot be read is one record's trouble: the mapping rejects it.
    count, last = 0, b"{}"
    for _, line in chain(head, found):
        count, last = count + 1, line
    if broken or not _is_complete(last):
        return "the gzip file is truncated" if broken else "the file ends in the middle of a line"
    missing = (announced or 0) - count
    return f"{missing} lines fewer than the {announced} in the server's manifest" if missing > 0 else ""


def _is_ndjson(head: Sequence[tuple[int, bytes]]) -> bool:
    """Whether the file is written line by line: one of its first two is a resource by itself."""
    return any(_looks_like_object(line) and NAMED in line for _, line in head)


def _is_truncated(head: Sequence[tuple[int, bytes]]) -> bool:
    return len(head) == 1 and head[0][1].startswith(b"{") and not _is_complete(head[0][1])


def _description(head: Sequence[tuple[int, bytes]]) -> str:
    start = b"\n".join(line for _, line in head)
    return "JSON spread over several lines" if start[:1] in (b"{", b"[") and not _is_complete(start) else unexpected.described(start)


def _looks_like_object(line: bytes) -> bool:
    """Whether it looks like an object on one line."""
    return line.startswith(b"{") and line.endswith(b"}")


def _is_complete(line: bytes) -> bool:
    try:
        _raw(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return _looks_like_object(line)


def _read(content: IO[bytes], limits: DownloadLimits) -> tuple[Iterator[tuple[int, bytes]], list[bool]]:
    """The lines that hold something, and a list that holds something once their compression turned out to be broken."""
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
