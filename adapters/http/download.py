"""The body of an answer, taken as it comes and within bounds: bytes after decompression, and seconds in all.

A timeout holds for each read only, so a server that drips would be listened to for ever; and a few hundred kilobytes of gzip become
a gigabyte. Where a bound is met the error names it and its setting; nothing of the answer is used.
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
ERROR_BYTES = 64 * 1024  # of an error's body, which is looked at for its codes only

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """``what`` comes (``an answer``); at most so many bytes and seconds. Errors name the settings, where there are any."""

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
        """Of an answer that is read as a whole."""
        return Bounds("an answer", self.max_page_bytes, self.page_deadline, "download.max_page_bytes", "download.page_deadline")

    @property
    def file(self) -> Bounds:
        """Of a file of an export."""
        return Bounds("an export file", self.max_file_bytes, self.file_deadline, "download.max_file_bytes", "download.file_deadline")

    @property
    def line(self) -> Bounds:
        """Of a line of such a file."""
        return Bounds("a line of an export file", self.max_line_bytes, 0, "download.max_line_bytes")


TOKEN = Bounds("the response of the token endpoint", MIB, 60.0)


class TooLarge(AdapterError):
    """More bytes than the bound. A person must act: the same answer would come again."""

    def __init__(self, bounds: Bounds) -> None:
        setting = f": check what the server sends, or raise {bounds.size_setting}" if bounds.size_setting else ""
        super().__init__(f"{bounds.what} is larger than {bounds.size} bytes{setting}", permanent=True)


def too_slow(bounds: Bounds) -> AdapterError:
    """It took longer than the bound. It may be quicker the next time."""
    setting = f" ({bounds.time_setting})" if bounds.time_setting else ""
    return AdapterError(f"{bounds.what} did not arrive within {bounds.seconds:g} s{setting}")


class Streamed(Protocol):
    """An answer of ``requests`` whose body was not read yet."""

    raw: Any

    def iter_content(self, chunk_size: int) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class StreamedAnswer(Streamed, Protocol):
    """The same with what came before the body."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def is_redirect(self) -> bool: ...


class DownloadedResponse(NamedTuple):
    """An answer with its body; that of an error only so far as it is looked at."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes
    is_redirect: bool = False


def received(response: StreamedAnswer, bounds: Bounds, begun: float) -> DownloadedResponse:
    """The whole answer. Raises as :func:`whole` does."""
    if response.is_redirect:
        response.close()
        return DownloadedResponse(response.status_code, response.headers, b"", is_redirect=True)
    failed = response.status_code >= 400
    body = whole(response, replace(bounds, size=min(bounds.size, ERROR_BYTES)) if failed else bounds, begun, cut=failed)
    return DownloadedResponse(response.status_code, response.headers, body)


def whole(response: Streamed, bounds: Bounds, begun: float, *, cut: bool = False) -> bytes:
    """The body. ``begun``: when it was asked for, by ``time.monotonic``. Raises :class:`TooLarge`; ``cut`` keeps the beginning instead.

    Raises :class:`~adapters.http.retry.Again` when it is late, and what ``requests`` raises when the connection breaks.
    """
    body = bytearray()
    try:
        for chunk in chunks(response, bounds, begun):
            body += chunk
    except TooLarge:
        if not cut:
            raise
    return bytes(body)


def chunks(response: Streamed, bounds: Bounds, begun: float, stopped: Callable[[], None] | None = None) -> Iterator[bytes]:
    """The body in pieces, and the connection closed when it does not come to its end. ``stopped`` may raise between pieces."""
    room, done = bounds.size, False
    with _ended_in_time(response, begun + bounds.seconds - time.monotonic()) as late:
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
        if late.is_set():  # what was cut off may look as if it had come to its end
            raise Retryable(too_slow(bounds))


@contextmanager
def _ended_in_time(response: Streamed, seconds: float) -> Iterator[Event]:
    """Ends the reading from another thread when the time is over; the event tells that it was."""
    late = Event()

    def end() -> None:
        late.set()
        with suppress(Exception):  # it has just ended by itself
            response.raw.shutdown()

    timer = Timer(max(seconds, 0), end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
