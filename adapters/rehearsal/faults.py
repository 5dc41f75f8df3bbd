"""Faults that the rehearsal EMR simulates on request."""

from __future__ import annotations

from collections import Counter, deque
from threading import Lock
from typing import NamedTuple


class Fault(NamedTuple):
    """A response with ``status`` and ``headers`` after ``delay`` seconds. Status 0 cuts the connection in the middle of the body.

    Status 200 only delays: the request is then answered as usual.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0


CUT = Fault(0)


class Faults:
    """A queue of faults, one per request for patients or exports (not for metadata or tokens). Thread-safe.

    There are also faults of exports, one per export or file (``expire``, ``leave_out``, ``miscount``), and faults of the ADT feed. Each
    number of the latter is an interval in messages; 0 means never.
    """

    def __init__(self) -> None:
        self._queue: deque[Fault] = deque()
        self._lock = Lock()
        self._planned: Counter[str] = Counter()
        self._extracts: deque[str] = deque()
        self.delay = 0.0
        self.break_next_links = False
        self.taken = 0
        self.left_out = 0  # the index of the patient that a partial export leaves out
        self.repeat_lines = False
        self.announce_more = 0  # searches report this many patients more than they return
        self.endless_links = False  # every page links to another, empty page
        self.no_metadata = False
        self.byte_order_mark = False  # before every Bundle
        self.late_transaction_time = ""  # replaces transactionTime in manifests; "end": the time when the export finished
        self.refused_reads: dict[int, int] = {}  # index of a patient -> status of the response to a read
        self.duplicates = self.reordered = self.wrong_charsets = self.lost_acks = 0

    def unauthorized(self, times: int = 1) -> None:
        """Refuses a valid token (401)."""
        self._add(Fault(401), times)

    def throttle(self, times: int = 1, *, retry_after: str = "1") -> None:
        """Answers 429 with Retry-After: seconds or an HTTP date."""
        self._add(Fault(429, (("Retry-After", retry_after),)), times)

    def fail(self, times: int = 1, *, status: int = 500, retry_after: str = "") -> None:
        """Answers with a server error, optionally with Retry-After."""
        self._add(Fault(status, (("Retry-After", retry_after),) if retry_after else ()), times)

    def cut(self, times: int = 1) -> None:
        """Closes the connection in the middle of the body."""
        self._add(CUT, times)

    def stall(self, times: int = 1, *, seconds: float) -> None:
        """Delays the response."""
        self._add(Fault(200, delay=seconds), times)

    def succeed(self, times: int = 1) -> None:
        """Answers normally, so that the next fault affects a later page."""
        self._add(Fault(200), times)

    def expire(self, times: int = 1) -> None:
        """The next files of an export have expired."""
        self._plan("expired", times)

    def leave_out(self, index: int = 0, times: int = 1) -> None:
        """The next exports omit a patient and report it under ``error``."""
        self.left_out = index
        self._plan("partial", times)

    def miscount(self, times: int = 1) -> None:
        """The next exports report a count that is one too high for each file."""
        self._plan("miscount", times)

    def slip(self, times: int = 1) -> None:
        """The next page begins one patient too late, as if a row was deleted between two pages."""
        self._plan("slipped", times)

    def report_errors(self, times: int = 1) -> None:
        """The next pages have an OperationOutcome of severity error among their entries, without a mode."""
        self._plan("error-entry", times)

    def spoil_files(self, how: str, times: int = 1) -> None:
        """The next files of an export have status 200 but are not valid NDJSON: ``html``, ``cut`` (in the middle of a line), ``pretty``."""
        self._plan(f"{how}-file", times)

    def spoil_extracts(self, how: str, times: int = 1) -> None:
        """The next sets of a delimited extract have a fault of ``adapters.rehearsal.extract``; none if ``how`` is empty."""
        with self._lock:
            self._extracts.extend([how] * times)

    def next_extract(self) -> str:
        """Takes the fault for this set of an extract; empty if it has none."""
        with self._lock:
            return self._extracts.popleft() if self._extracts else ""

    def redirect(self, times: int = 1) -> None:
        """The next kick-off requests are redirected (307) to the same server."""
        self._plan("redirected", times)

    def take(self, name: str) -> bool:
        """Whether a planned fault of this name applies now; uses it up."""
        with self._lock:
            if not self._planned[name]:
                return False
            self._planned[name] -= 1
            self.taken += 1
            return True

    def next(self) -> Fault | None:
        """Takes the fault for this request, or ``None``."""
        with self._lock:
            if not self._queue:
                return Fault(200, delay=self.delay) if self.delay else None
            self.taken += 1
            return self._queue.popleft()

    def _plan(self, name: str, times: int) -> None:
        with self._lock:
            self._planned[name] += times

    def _add(self, fault: Fault, times: int) -> None:
        with self._lock:
            self._queue.extend([fault] * times)
