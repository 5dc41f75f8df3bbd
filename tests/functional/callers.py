"""Who calls a service while parts of it are killed: EMRs that send each message until it is accepted, and a sender that asks for decisions.

Each patient is first open to contact and then refuses. Once the refusal is acknowledged AA, no decision may permit a message.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, HTTPSConnection
from itertools import pairwise
from typing import Any

from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.reader import read

HOST = "127.0.0.1"
EMRS, PATIENCE, PAUSE, GIVEN_UP = 2, 15.0, 0.02, 90.0
"""Connections of EMRs; seconds: for one answer, between two messages, and until a test that stands still fails."""
MESSAGE = (
    "MSH|^~\\&|ADT|GENHOSP|X|X|{at}||ADT^A08^ADT_A01|{control}|P|2.5.1\rEVN|A08|{at}\r"
    "PID|1||{mrn}^^^GENHOSP^MR||Invented^Jo||19800101||||||^PRN^CP^^1^217^5550123\rZCP|1|{code}\r"
)


class Callers:
    """``mllp`` and ``api``: the balancer's ports. ``control`` of every message is unique."""

    def __init__(self, mllp: int, api: int, key: str, tls: ssl.SSLContext) -> None:
        self.mllp, self.api, self.key, self.tls = mllp, api, key, tls
        self.accepted, self.refusing = dict[str, str](), list[str]()
        self.permitted, self.unknown = list[str](), list[str]()
        self.times = {name: [time.monotonic()] for name in (*(f"emr-{one}" for one in range(EMRS)), "sender")}
        self.codes = Counter[str]()
        self._ended, self._numbers = threading.Event(), iter(range(1, 1_000_000))
        self._lock, self._base = threading.Lock(), datetime.now(UTC) - timedelta(hours=6)

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(EMRS + 1) as threads:
            work = [threads.submit(self._send, f"emr-{one}") for one in range(EMRS)] + [threads.submit(self._ask)]
            try:
                yield
            finally:
                self._ended.set()
            for one in work:
                one.result(GIVEN_UP)

    def go_on(self, more: int = 6) -> None:
        """Returns when each caller got that many more answers."""
        before, deadline = {name: len(times) for name, times in self.times.items()}, time.monotonic() + GIVEN_UP
        while any(len(times) < before[name] + more for name, times in self.times.items()):
            assert time.monotonic() < deadline, f"nothing moves: {dict(self.codes)}"
            time.sleep(0.02)

    def longest(self) -> dict[str, float]:
        """Seconds that each caller waited for its next good answer, at most."""
        return {name: round(max((b - a for a, b in pairwise(times)), default=0.0), 2) for name, times in self.times.items()}

    def call(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        """One request over a new connection; status 0 where nobody answers."""
        with closing(HTTPSConnection(HOST, self.api, timeout=PATIENCE, context=self.tls)) as connection:
            try:
                text = None if body is None else json.dumps(body)
                connection.request(method, path, text, {"Authorization": f"Bearer {key or self.key}"})
                answer = connection.getresponse()
                found = answer.read()
            except (OSError, HTTPException):
                return 0, None
        return answer.status, json.loads(found) if found.startswith(b"{") else found

    def decide(self, mrn: str) -> tuple[int, Any]:
        patient = {"authority": "GENHOSP", "value": mrn}
        return self.call("POST", "/v1/decisions", {"patient": patient, "message_type": "automation", "channels": ["sms"]})

    def deliver_one(self, patient: str, code: str) -> None:
        """One message about a patient of its own, which must be accepted."""
        at = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
        with closing(MllpClient(HOST, self.mllp, PATIENCE, self.tls)) as connection:
            sent = connection.send(MESSAGE.format(at=at, control=f"C{patient}", mrn=f"MRN{patient}", code=code).encode())
        assert read(sent).field("MSA", 1) == "AA"

    def _send(self, name: str) -> None:
        connection: MllpClient | None = None
        while not self._ended.is_set():
            with self._lock:
                patient = next(self._numbers)
            for step, code in enumerate(("OK", "DNC")):
                connection = self._deliver(name, connection, patient, step, code)
            time.sleep(PAUSE)
        if connection is not None:
            connection.close()

    def _deliver(self, name: str, connection: MllpClient | None, patient: int, step: int, code: str) -> MllpClient | None:
        """Sends a message until it is accepted, or the callers end."""
        control, mrn = f"C{patient}-{step}", f"MRN{patient}"
        at = (self._base + timedelta(seconds=2 * patient + step)).strftime("%Y%m%d%H%M%S+0000")
        message = MESSAGE.format(at=at, control=control, mrn=mrn, code=code).encode()
        while not self._ended.is_set():
            connection, answer = self._once(connection, message)
            self.codes[answer] += 1
            if answer == "AA":
                self.times[name].append(time.monotonic())
                self.accepted[control] = mrn
                self.refusing += [mrn] if code == "DNC" else []
                break
            time.sleep(0.1)
        return connection

    def _once(self, connection: MllpClient | None, message: bytes) -> tuple[MllpClient | None, str]:
        try:
            connection = connection or MllpClient(HOST, self.mllp, PATIENCE, self.tls)
            return connection, read(connection.send(message)).field("MSA", 1)
        except OSError as error:
            if connection is not None:
                with suppress(OSError):
                    connection.close()
            return None, type(error).__name__

    def _ask(self) -> None:
        while not self._ended.is_set():
            if not self.refusing:
                time.sleep(PAUSE)
                continue
            mrn = self.refusing[-1]
            status, answer = self.decide(mrn)
            if status != 200:
                self.codes[str(status)] += 1
                time.sleep(0.05)
                continue
            self.times["sender"].append(time.monotonic())
            if answer["decision"] == "send":
                self.permitted.append(mrn)
            if "do_not_contact" not in answer["reasons"]:
                self.unknown.append(mrn)
            time.sleep(PAUSE)
