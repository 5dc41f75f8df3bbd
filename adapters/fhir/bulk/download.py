"""Downloads the files of an export in parallel into temporary files, and returns them in order.

A file is complete before its first line is read. So a broken connection or a wrong number of lines costs a second download, and no file is
applied in part. Temporary files have no name, so no patient data stays on the disk, whatever happens.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import IO, TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from adapters.base import AdapterError
from adapters.fhir.bulk import ndjson
from adapters.fhir.bulk.export import NDJSON, ExportLost
from adapters.fhir.bulk.manifest import ExportFile
from adapters.fhir.client import FhirClient
from adapters.http import download
from adapters.http.client import REDIRECTS, REFUSED, same_origin
from adapters.http.download import DownloadLimits
from adapters.http.retry import TRANSIENT, Retryable

if TYPE_CHECKING:
    import requests

GONE = (403, 404, 410)  # signed storage URLs return 403 when they have expired


class DownloadedFile(NamedTuple):
    """One file on the disk. ``defect``: why it is incomplete, even after a second download; empty if it is complete."""

    file: ExportFile
    content: IO[bytes]
    defect: str
    limits: DownloadLimits = DownloadLimits()

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines with a resource, with their numbers from 1; of a truncated file, those before the end."""
        return ndjson.lines(self.content, self.limits)


@dataclass(frozen=True, slots=True)
class FileDownloads:
    """Downloads the files of one export. The token is sent only to our server and, for files that need it, to ``origins``."""

    client: FhirClient
    origins: tuple[str, ...] = ()
    parallel: int = 4
    stopped: Event = field(default_factory=Event)

    def files(self, files_to_read: Sequence[ExportFile]) -> Generator[DownloadedFile, None, None]:
        """The files in the given order. At most ``parallel`` are being downloaded or waiting to be read."""
        downloads: deque[Future[DownloadedFile]] = deque()
        remaining = iter(files_to_read)
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="export") as pool:
            try:
                while True:
                    while len(downloads) < self.parallel and (one := next(remaining, None)) is not None:
                        downloads.append(pool.submit(self.fetch, one))
                    if not downloads:
                        return
                    fetched = downloads.popleft().result()
                    with fetched.content:
                        yield fetched
            finally:
                self.stopped.set()  # do not wait for the rest of a large file
                _close_unread(downloads)

    def fetch(self, file: ExportFile) -> DownloadedFile:
        """Downloads one file, and again if it is incomplete. Raises :class:`ExportLost` if it is gone."""
        content = tempfile.TemporaryFile()  # noqa: SIM115 - the reader closes it
        try:
            defect = ""
            for _ in range(2):
                self.client.retrying(lambda: self._download(content, file))
                defect = ndjson.defect(content, file.lines, self.client.download)
                if not defect:
                    break
        except BaseException:
            content.close()
            raise
        return DownloadedFile(file, content, defect, self.client.download)

    def _download(self, content: IO[bytes], file: ExportFile) -> None:
        import requests

        content.seek(0)
        content.truncate()
        begun = time.monotonic()
        response = self._open(file)
        try:
            for chunk in download.chunks(response, self.client.download.file, begun, self._check_stopped):
                content.write(chunk)
        except requests.exceptions.RequestException as error:
            raise Retryable(AdapterError(f"the download of an export file was interrupted ({type(error).__name__})")) from None

    def _check_stopped(self) -> None:
        if self.stopped.is_set():
            raise AdapterError("the run ended before the file was fetched")

    def _open(self, file: ExportFile) -> requests.Response:
        response = self._follow(file)
        if response.status_code in REFUSED and self._may_have_token(file, file.url) and self.client.auth.forget():
            response.close()
            response = self._follow(file)
        status = response.status_code
        if status == 200:
            return response
        response.close()
        if status in TRANSIENT:
            retry_after = self.client.retry_after(response.headers)
            raise Retryable(AdapterError(f"the server returned {status} for an export file", retry_after=retry_after))
        if status in GONE:
            raise ExportLost(f"an export file is gone (the server returned {status}): the export will be requested again")
        raise AdapterError(f"the server returned {status} for an export file", permanent=status in REFUSED)

    def _follow(self, file: ExportFile) -> requests.Response:
        """The response after redirects. Oracle Health redirects to signed storage, which refuses a token beside its signature."""
        url = file.url
        for hop in range(REDIRECTS + 1):
            headers = {"Accept": NDJSON, "Accept-Encoding": "gzip"}
            if self._may_have_token(file, url) and (hop == 0 or same_origin(url, self.client.base_url)):
                headers |= self.client.authorize()
            response = self.client.open(self._checked_url(url), headers)
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, response.headers["Location"])
        raise AdapterError("too many redirects from the server", permanent=True)

    def _may_have_token(self, file: ExportFile, url: str) -> bool:
        return file.token and any(same_origin(url, origin) for origin in (self.client.base_url, *self.origins))

    def _checked_url(self, url: str) -> str:
        if urlsplit(self.client.base_url).scheme == "https" and urlsplit(url).scheme != "https":
            raise AdapterError("an export file has a URL without TLS although the server supports TLS", permanent=True)
        return url


def _close_unread(downloads: deque[Future[DownloadedFile]]) -> None:
    """Closes the files that will not be read."""
    for one in downloads:
        if not one.cancel():
            one.add_done_callback(lambda done: None if done.exception() else done.result().content.close())
