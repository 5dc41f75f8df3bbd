"""The requests of a bulk export: kick-off, status polling, and deletion.

Source: Bulk Data Access IG, "Sequence Overview". Quirks: Oracle Health allows one export at a time (429 for the second) and returns
fatal errors as 500 or 504; eClinicalWorks sends Retry-After 7200 s; Epic refuses the same group within its window.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlencode, urljoin

from adapters.base import AdapterError
from adapters.fhir import outcome
from adapters.fhir.bulk import manifest
from adapters.fhir.bulk.manifest import ExportFile, Manifest
from adapters.fhir.client import FhirClient
from adapters.http.client import REFUSED, RawResponse
from adapters.http.completeness import IDLE_PAGES
from adapters.http.headers import retry_after_seconds
from adapters.http.retry import TRANSIENT, retry_after_note

ASYNC = {"Accept": "application/fhir+json", "Prefer": "respond-async"}  # only the standard type: some servers compare the whole header
ASYNC_POST = {**ASYNC, "Content-Type": "application/fhir+json"}
UNSUPPORTED = (400, 404, 405, 406, 410, 415, 422, 501)
ACCEPT_MANIFEST = {"Accept": "application/json, application/fhir+json;q=0.9"}
NDJSON = "application/fhir+ndjson"
PERCENT = re.compile(r"(?<![\d.])(\d{1,3})(?:\.\d+)?\s*%")
LONGEST_POLL = 86_400.0  # seconds; a longer Retry-After is reduced to this
# FHIR issue-type codes of transient failures. Any other code in an error's OperationOutcome ends the export.
PASSING_ISSUES = ("transient", "lock-error", "timeout", "throttled", "incomplete", "no-store")


class ExportLost(AdapterError):
    """The export failed, or its files are gone: it must be requested again."""


class NamedExportRefused(AdapterError):
    """The server does not support exports of named patients. An export of everybody may still work."""


class AcceptedExport(NamedTuple):
    """An accepted export: its status URL, in how many seconds to poll, and a time no later than its request."""

    status: str
    retry_after: float | None
    at: datetime


class ExportRunning(NamedTuple):
    """The export is not ready. ``retry_after``: seconds until the next poll, if the server says so. ``percent``: the progress, if known."""

    retry_after: float | None
    percent: int | None
    failing: bool = False


class ExportReady(NamedTuple):
    """The export is ready. ``files``: those of all parts of the manifest."""

    transaction_time: str
    files: tuple[ExportFile, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """The export requests to one server."""

    client: FhirClient

    def request(self, path: str, parameters: Mapping[str, str], patients: Sequence[str] = ()) -> AcceptedExport:
        """Requests an export. Raises :class:`~adapters.base.AdapterError`.

        With ``patients`` (resource ids), only of those: raises :class:`NamedExportRefused` if the server does not support that.
        """
        url, kick_off = f"{self.client.base_url}/{path}", {"_outputFormat": NDJSON, **parameters}
        if patients:
            answer = self.client.ask("POST", url, ASYNC_POST, _parameters(kick_off, patients))
        else:
            answer = self.client.ask("GET", f"{url}?{urlencode(kick_off)}", ASYNC)
        if patients and answer.status in UNSUPPORTED:
            raise NamedExportRefused(f"export request for some patients: {_reported(answer)}", permanent=True)
        if answer.status in TRANSIENT:
            raise AdapterError(f"export request: {_reported(answer)}", retry_after=self._retry_after(answer))
        if answer.status in (404, 405, 410, 501):
            raise AdapterError(f"{_reported(answer)}: export not supported; check export.level and export.group", permanent=True)
        if answer.status in REFUSED:
            raise AdapterError(f"{_reported(answer)}: access to the export denied; check auth and its scope", permanent=True)
        where = _header(answer, "Content-Location")
        if answer.status != 202 or not where:
            throttled = "throttled" in outcome.summary(answer.body)
            raise AdapterError(f"export request: {_reported(answer)}, without a status URL", permanent=not throttled)
        return AcceptedExport(urljoin(answer.url, where), self._retry_after(answer), answer.began)

    def poll(self, status: str) -> ExportRunning | ExportReady:
        """The state of the export. Raises :class:`ExportLost` if the server no longer knows it, or reports that it failed."""
        answer = self.client.ask("GET", status, ACCEPT_MANIFEST)
        if answer.status == 202:
            return ExportRunning(self._retry_after(answer), _percent(_header(answer, "X-Progress")))
        if answer.status == 200:
            return self._all_parts(manifest.read(answer.body, answer.url), {status})
        return self._failed_poll(answer)

    def delete(self, status: str) -> bool:
        """Deletes or cancels the export at the server. False if the request should be repeated."""
        try:
            answer = self.client.ask("DELETE", status, ACCEPT_MANIFEST)
        except AdapterError:
            return False
        return answer.status not in TRANSIENT

    def _failed_poll(self, answer: RawResponse) -> ExportRunning:
        issues = outcome.codes(answer.body)
        if answer.status in TRANSIENT and (answer.status == 429 or all(code in PASSING_ISSUES for code in issues)):
            return ExportRunning(self._retry_after(answer), None, failing=answer.status != 429)
        if answer.status in REFUSED:
            raise AdapterError(f"export status request: {_reported(answer)}; check auth", permanent=True)
        raise ExportLost(f"export status request: {_reported(answer)}; the export will be requested again")

    def _all_parts(self, first: Manifest, seen: set[str]) -> ExportRunning | ExportReady:
        """The manifest with all parts that its ``next`` links lead to. If one part is not ready, the whole is not."""
        files, following, idle = list(first.files), first.next_url, 0
        while following is not None:
            if following in seen:
                raise AdapterError("the links of the export manifest form a loop")
            if idle >= IDLE_PAGES:
                raise AdapterError(f"{idle} consecutive parts of the export manifest listed no file and linked to another part")
            seen.add(following)
            answer = self.client.ask("GET", following, ACCEPT_MANIFEST)
            if answer.status != 200:
                return ExportRunning(self._retry_after(answer), None) if answer.status == 202 else self._failed_poll(answer)
            part = manifest.read(answer.body, answer.url)
            files += part.files
            idle = 0 if part.files else idle + 1
            following = part.next_url
        return ExportReady(first.transaction_time, tuple(files))

    def _retry_after(self, answer: RawResponse) -> float | None:
        seconds = self.client.retry_after(answer.headers)
        return None if seconds is None else min(seconds, LONGEST_POLL)


def poll_pause(times: int) -> float:
    """Seconds between polls if the server does not say: from one to sixty."""
    return min(2.0**times, 60.0)


def _parameters(kick_off: Mapping[str, str], patients: Sequence[str]) -> bytes:
    """The kick-off as a Parameters resource, which ``patient`` requires. Source: Bulk Data Access IG 2.0, "Query Parameters"."""
    plain = [{"name": name, "valueInstant" if name == "_since" else "valueString": value} for name, value in kick_off.items()]
    named = [{"name": "patient", "valueReference": {"reference": f"Patient/{name}"}} for name in patients]
    return json.dumps({"resourceType": "Parameters", "parameter": [*plain, *named]}).encode()


def _header(answer: RawResponse, name: str) -> str:
    return str(answer.headers.get(name) or "")


def _percent(progress: str) -> int | None:
    """The percentage in X-Progress, which is free text."""
    found = PERCENT.search(progress)
    return min(int(found[1]), 100) if found else None


def _reported(answer: RawResponse) -> str:
    asked = retry_after_seconds(_header(answer, "Retry-After"), answer.at)
    return f"the server returned {answer.status}{outcome.error_detail(answer.body)}{retry_after_note(asked)}"
