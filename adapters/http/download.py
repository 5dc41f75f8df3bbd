"""Reads the body of a response within bounds: bytes after decompression, and seconds in all.

A timeout applies only to each read, so a slow server could block a client endlessly; and a few hundred kilobytes of gzip can become a
gigabyte. If a bound is exceeded, the error names it and its setting, and nothing of the response is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from threading import Event, Timer
from typing import Any, NamedTuple, Protocol

from adapters.base import AdapterError
from adapters.http.retry import Retryable

CHUNK = 64 * 1024
ERROR_BYTES = 64 * 1024  # of an error's body, which is read for its codes only

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits for one body: bytes and seconds. ``what``: its name in errors (``an answer``). Errors also name the settings, if any."""

    what: str
    size: int
    seconds: float
    size_setting: str = ""
    time_setting: str = ""


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """The ``download`` part of a source's settings: bytes after decompression, and seconds."""

    max_page_bytes: int = 32 * MIB
    max_file_bytes: int = 4096 * MIB
    max_line_bytes: int = 16 * MIB
    page_deadline: float = 300.0
    file_deadline: float = 7200.0

    @property
    def page(self) -> Bounds:
        """The bounds of a response that is read as a whole."""
        return Bounds("an answer", self.max_page_bytes, self.page_deadline, "download.max_page_bytes", "download.page_deadline")

    @property
    def file(self) -> Bounds:
        """The bounds of a file of an export."""
        return Bounds("an export file", self.max_file_bytes, self.file_deadline, "download.max_file_bytes", "download.file_deadline")

    @property
    def line(self) -> Bounds:
        """The bounds of a line of such a file."""
        return Bounds("a line of an export file", self.max_line_bytes, 0, "download.max_line_bytes")


TOKEN = Bounds("the response of the token endpoint", MIB, 60.0)


class TooLarge(AdapterError):
    """The body exceeds the bound. A person must act: the same response would come again."""

    def __init__(self, bounds: Bounds) -> None:
        setting = f": check what the server sends, or raise {bounds.size_setting}" if bounds.size_setting else ""
        super().__init__(f"{bounds.what} is larger than {bounds.size} bytes{setting}", permanent=True)


def too_slow(bounds: Bounds) -> AdapterError:
    """The error for a body that took longer than the bound. The next attempt may be faster."""
    setting = f" ({bounds.time_setting})" if bounds.time_setting else ""
    return AdapterError(f"{bounds.what} did not arrive within {bounds.seconds:g} s{setting}")


class StreamedBody(Protocol):
    """A response of ``requests`` whose body has not been read yet."""

    raw: Any

    def iter_content(self, chunk_size: int) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class DownloadResponse(StreamedBody, Protocol):
    """The same, with status and headers."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def is_redirect(self) -> bool: ...


class DownloadedResponse(NamedTuple):
    """A response with its body. The body of an error is truncated."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes
    is_redirect: bool = False


def read_response(response: DownloadResponse, bounds: Bounds, begun: float) -> DownloadedResponse:
    """The response with its body. Raises as :func:`read_body` does."""
    if response.is_redirect:
        response.close()
        return DownloadedResponse(response.status_code, response.headers, b"", is_redirect=True)
    failed = response.status_code >= 400
    body = read_body(response, replace(bounds, size=min(bounds.size, ERROR_BYTES)) if failed else bounds, begun, cut=failed)
    return DownloadedResponse(response.status_code, response.headers, body)


def read_body(response: StreamedBody, bounds: Bounds, begun: float, *, cut: bool = False) -> bytes:
    """The body. ``begun``: when it was requested, by ``time.monotonic``. Raises :class:`TooLarge`; with ``cut`` truncates the body instead.

    Raises :class:`~adapters.http.retry.Retryable` if it takes too long, and what ``requests`` raises if the connection breaks.
    """
    body = bytearray()
    try:
        for chunk in chunks(response, bounds, begun):
            body += chunk
    except TooLarge:
        if not cut:
            raise
    return bytes(body)


def chunks(response: StreamedBody, bounds: Bounds, begun: float, stopped: Callable[[], None] | None = None) -> Iterator[bytes]:
    """The body in chunks. Closes the connection if it does not come to its end. ``stopped`` may raise between chunks."""
    room, done = bounds.size, False
    with _deadline(response, begun + bounds.seconds - time.monotonic()) as late:
        try:
            for chunk in response.iter_content(CHUNK):
                if late.is_set():
                    break
                if stopped is not None:
                    stopped()
                room -= len(chunk)
                if room < 0:
                    raise TooLarge(bounds)
                yield chunk
            done = not late.is_set()
        except Exception:
            if not late.is_set():
                raise
        finally:
            if not done:
                response.close()
        if late.is_set():  # a truncated body may look complete
            raise Retryable(too_slow(bounds))


@contextmanager
def _deadline(response: StreamedBody, seconds: float) -> Iterator[Event]:
    """Ends the reading from another thread at the deadline, and then sets the event."""
    late = Event()

    def end() -> None:
        late.set()
        with suppress(Exception):  # it may have just ended by itself
            response.raw.shutdown()

    timer = Timer(max(seconds, 0), end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
