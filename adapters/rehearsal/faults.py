"""Faults on demand: what the next requests to the rehearsal EMR will meet instead of an answer."""

from __future__ import annotations

from collections import Counter, deque
from threading import Lock
from typing import NamedTuple


class Fault(NamedTuple):
    """Answer ``status`` (0: cut the connection in the middle of the body) with ``headers``, after ``delay`` seconds.

    A status of 200 only delays: the request is then answered as usual.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0


CUT = Fault(0)


class Faults:
    """A queue of faults, taken one per request for patients or their exports (never for metadata or tokens), from any thread.

    Beside it: faults of exports, taken one per export or file (``expire``, ``leave_out``, ``miscount``), and those of the ADT feed:
    each number is "every how many messages", 0 for never.
    """

    def __init__(self) -> None:
        self._queue: deque[Fault] = deque()
        self._lock = Lock()
        self._planned: Counter[str] = Counter()
        self.delay = 0.0
        self.break_next_links = False
        self.taken = 0
        self.left_out = 0  # the index of the patient that a partial export leaves out
        self.repeat_lines = False
        self.announce_more = 0  # searches announce so many patients that never come
        self.endless_links = False  # every page links to another one, which is empty
        self.no_metadata = False
        self.byte_order_mark = False  # before every Bundle
        self.late_transaction_time = ""  # what manifests say instead; "end": when the export is finished
        self.refused_reads: dict[int, int] = {}  # index of a patient -> the status that answers a read
        self.duplicates = self.reordered = self.wrong_charsets = self.lost_acks = 0

    def unauthorized(self, times: int = 1) -> None:
        """Refuse a valid token."""
        self._add(Fault(401), times)

    def throttle(self, times: int = 1, *, retry_after: str = "1") -> None:
        """429 with Retry-After: seconds, or an HTTP date."""
        self._add(Fault(429, (("Retry-After", retry_after),)), times)

    def fail(self, times: int = 1, *, status: int = 500, retry_after: str = "") -> None:
        """A server error, with a Retry-After where one is given."""
        self._add(Fault(status, (("Retry-After", retry_after),) if retry_after else ()), times)

    def cut(self, times: int = 1) -> None:
        """Close the connection in the middle of the body."""
        self._add(CUT, times)

    def stall(self, times: int = 1, *, seconds: float) -> None:
        """Answer late."""
        self._add(Fault(200, delay=seconds), times)

    def answer_well(self, times: int = 1) -> None:
        """Let requests through, so that a later fault meets a page in the middle."""
        self._add(Fault(200), times)

    def expire(self, times: int = 1) -> None:
        """The next files of an export are gone."""
        self._plan("expired", times)

    def leave_out(self, index: int = 0, times: int = 1) -> None:
        """The next exports leave a patient out, and say so in their errors."""
        self.left_out = index
        self._plan("partial", times)

    def miscount(self, times: int = 1) -> None:
        """The next exports claim a line more for each file than there is."""
        self._plan("miscount", times)

    def slip(self, times: int = 1) -> None:
        """A row goes away between two pages: the next page begins one patient too late."""
        self._plan("slipped", times)

    def report_errors(self, times: int = 1) -> None:
        """The next pages have an OperationOutcome of severity error among their entries, without a mode."""
        self._plan("error-entry", times)

    def spoil_files(self, how: str, times: int = 1) -> None:
        """The next files of an export come with status 200 and are no NDJSON: ``html``, ``cut`` (in the middle of a line), ``pretty``."""
        self._plan(f"{how}-file", times)

    def redirect(self, times: int = 1) -> None:
        """The next kick-offs are sent on, to another address of this server (307)."""
        self._plan("redirected", times)

    def take(self, name: str) -> bool:
        """Whether a planned fault of exports strikes now."""
        with self._lock:
            if not self._planned[name]:
                return False
            self._planned[name] -= 1
            self.taken += 1
            return True

    def next(self) -> Fault | None:
        """The fault for this request, or ``None``."""
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
