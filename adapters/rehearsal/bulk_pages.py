"""The bulk export endpoints of the rehearsal EMR: kick-off, status, files, and the exported Group.

Source: HL7 FHIR Bulk Data Access (hl7.org/fhir/uv/bulkdata).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

from adapters.rehearsal import resource
from adapters.rehearsal.export import BadExport, ExportDesk, ExportJob

NDJSON = "application/fhir+ndjson"
CHUNK = 64 * 1024


class RehearsalReply(NamedTuple):
    """A response. ``body`` is plain data to send as JSON, or lines to stream."""

    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class BulkPages:
    """Answers the requests of a bulk export. ``root`` is the server's address, ``base_url`` its FHIR endpoint.

    ``open_files``: files need no token and refuse one, like Oracle Health's pre-signed URLs (github.com/cerner/fhir.cerner.com pull 899).
    """

    desk: ExportDesk
    root: str
    base_url: str
    open_files: bool = False

    def kick_off(self, path: str, parameters: Mapping[str, str], headers: Any, patients: Sequence[str] = ()) -> RehearsalReply:
        """Starts an export. ``path`` is relative to the endpoint: ``$export``, ``Patient/$export`` or ``Group/NAME/$export``."""
        group = path.split("/")[1] if path.startswith("Group/") else None
        if group is not None and not self.desk.known_group(group):
            return _refusal(404, "not-found", "no such group")
        if self.desk.faults.take("redirected"):
            query = f"?{urlencode(parameters)}" if parameters else ""
            return RehearsalReply(307, {}, (("Location", f"{self.base_url}/{path}{query}"),))
        if "respond-async" not in (headers.get("Prefer") or ""):
            return _refusal(400, "invalid", "an export needs Prefer: respond-async")
        try:
            name = self.desk.start(parameters, None if group == "everybody" else group, patients)
        except BadExport as error:
            return _refusal(400, "invalid", str(error))
        if name is None:
            return _refusal(429, "throttled", "an export is in progress", (("Retry-After", "120"),))
        return RehearsalReply(202, {}, (("Content-Location", f"{self.root}/export-status/{name}"),))

    def kick_off_posted(self, path: str, body: bytes, headers: Any) -> RehearsalReply:
        """Starts an export from a Parameters resource, the only way to select patients."""
        try:
            parameters = [(one["name"], next(value for key, value in one.items() if key.startswith("value"))) for one in _parameters(body)]
        except (ValueError, KeyError, TypeError, StopIteration):
            return _refusal(400, "invalid", "an export request needs Parameters")
        patients = [str(value["reference"]) for name, value in parameters if name == "patient"]
        return self.kick_off(path, {name: str(value) for name, value in parameters if name != "patient"}, headers, patients)

    def status(self, name: str) -> RehearsalReply:
        percent, job = self.desk.poll(name), self.desk.job(name)
        if percent is None or job is None:
            return _refusal(404, "not-found", "no such export")
        if percent < 100:
            return RehearsalReply(202, {}, (("X-Progress", f"{percent}% of the export is done"), ("Retry-After", self.desk.retry_after)))
        manifest = self.desk.manifest(name, job, root=f"{self.root}/files", token=not self.open_files, request=f"{self.base_url}/$export")
        return RehearsalReply(200, manifest, kind="application/json")

    def drop(self, name: str) -> RehearsalReply:
        return RehearsalReply(202, {}) if self.desk.drop(name) else _refusal(404, "not-found", "no such export")

    def file(self, name: str, part: str) -> RehearsalReply:
        job: ExportJob | None = self.desk.job(name)
        lines = None if job is None or self.desk.faults.take("expired") else self.desk.lines(job, part.removesuffix(".ndjson"))
        if lines is None:
            return _refusal(404, "not-found", "no such file, or it has expired")
        return RehearsalReply(200, self._spoiled(lines), kind=NDJSON)

    def _spoiled(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """The lines, changed by the planned faults."""
        faults = self.desk.faults
        if faults.take("html-file"):
            return iter([b"<!DOCTYPE html>\n<html><body>The gateway is being maintained</body></html>\n"])
        if faults.take("pretty-file"):
            return (json.dumps(json.loads(line), indent=2).encode() + b"\n" for line in islice(lines, 1))
        return _cut(lines) if faults.take("cut-file") else lines

    def group(self, name: str) -> RehearsalReply:
        if not self.desk.known_group(name):
            return _refusal(404, "not-found", "no such group")
        members = [{"entity": {"reference": f"Patient/{resource.resource_id(index)}"}} for index in self.desk.members(name)]
        group = {"resourceType": "Group", "id": name, "type": "person", "actual": True, "member": members}
        return RehearsalReply(200, group if members else {key: value for key, value in group.items() if key != "member"})


def _cut(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines with the last one truncated."""
    previous = b""
    for line in lines:
        yield previous
        previous = line
    yield previous[: len(previous) // 2]


def chunks(lines: Iterable[bytes], *, zipped: bool) -> Iterator[bytes]:
    """The lines as an HTTP/1.1 chunked body, compressed if ``zipped``."""
    zipper = zlib.compressobj(1, zlib.DEFLATED, 31) if zipped else None
    for block in _blocks(lines):
        if data := zipper.compress(block) if zipper else block:
            yield _chunk(data)
    if zipper:
        yield _chunk(zipper.flush())
    yield b"0\r\n\r\n"


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    block, size = [], 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= CHUNK:
            yield b"".join(block)
            block, size = [], 0
    if block:
        yield b"".join(block)


def _parameters(body: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(body)["parameter"]
    return found


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def as_json(body: Any) -> bytes:
    """Plain data as compact JSON."""
    return json.dumps(body, separators=(",", ":")).encode()


def _refusal(status: int, code: str, diagnostics: str, headers: tuple[tuple[str, str], ...] = ()) -> RehearsalReply:
    return RehearsalReply(status, resource.outcome(code, diagnostics), headers)
