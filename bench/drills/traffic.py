"""What goes on during a drill: an EMR that sends each message until it is acknowledged AA, and a sender that asks about its patients."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from itertools import cycle, pairwise
from typing import Any

PATIENTS, REFUSING = 25, 5
LINE = (
    "MSH|^~\\&|ADT|GENHOSP|X|X|{at}||ADT^A08^ADT_A01|{id}|P|2.5.1\rEVN|A08|{at}\r"
    "PID|1||{mrn}^^^GENHOSP^MR||Drill^Jo||19800101||||||^PRN^CP^^1^217^5550{n:03d}\rZCP|1|{code}\r"
)
CODE = re.compile(rb"MSA\|(\w\w)\|")
PAUSE, PATIENCE = 0.1, 15.0


class Emr:
    """Sends one message after another; each changes Do Not Contact of a patient. Goes to the next address when one
    does not answer, or answers AR.

    Whoever holds ``turn`` has no message under way. ``refusals`` has the message by which a patient refuses, from its acknowledgement until
    the EMR begins to send that the patient accepts.
    """

    def __init__(self, ports: Sequence[int], pause: float = 0.02) -> None:
        self.ports, self.several, self.pause, self.codes = cycle(ports), len(ports) > 1, pause, Counter[str]()
        self.acknowledged: dict[str, str] = {}
        self.last: dict[str, str] = {}
        self.refusals: dict[str, str] = {}
        self.accepted: list[float] = [time.monotonic()]
        self._connection: socket.socket | None = None
        self.turn = threading.Lock()
        self._ended, self._given_up, self._number = threading.Event(), threading.Event(), 0
        self._base = datetime.now(UTC) - timedelta(hours=3)
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Everybody refuses. The first REFUSING go on to; the others change their mind again and again."""
        for number in range(PATIENTS):
            self._deliver(number, "DNC")
        self._thread.start()

    def stop(self) -> None:
        """Returns when the message under way is acknowledged, or nobody takes it for a minute."""
        self._ended.set()
        if self._thread.ident:
            self._thread.join(60)
        self._given_up.set()
        self._hang_up()

    def longest(self) -> float:
        """Seconds between two acknowledgements for good, at most."""
        times = [*self.accepted, time.monotonic()] if self._thread.is_alive() else self.accepted
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def forget(self) -> None:
        """The drill begins now."""
        self.accepted, self.codes = [time.monotonic()], Counter()

    def again(self) -> None:
        """Sends everything once more, as an EMR does after a restore: the last of each patient."""
        for mrn, code in list(self.last.items()):
            self._deliver(int(mrn.removeprefix("MRN")), code)

    def _run(self) -> None:
        changing = cycle(range(REFUSING, PATIENTS))
        while not self._ended.is_set():
            number = next(changing)
            with self.turn:
                self._deliver(number, "OK" if self.last[f"MRN{number}"] == "DNC" else "DNC")
            self._ended.wait(self.pause)

    def _deliver(self, patient: int, code: str) -> None:
        self._number += 1
        number, mrn = f"DRILL{self._number}", f"MRN{patient}"
        at = (self._base + timedelta(seconds=self._number)).strftime("%Y%m%d%H%M%S+0000")
        message = LINE.format(at=at, id=number, mrn=mrn, n=patient, code=code).encode()
        if code == "OK":
            self.refusals.pop(mrn, None)
        while (answer := self._once(message)) != "AA":
            self.codes[answer] += 1
            if answer == "AR" and self.several:
                self._hang_up()
            time.sleep(PAUSE)
            if self._given_up.is_set():
                return
        self.codes["AA"] += 1
        self.accepted.append(time.monotonic())
        self.acknowledged[number], self.last[mrn] = mrn, code
        if code == "DNC":
            self.refusals[mrn] = number

    def _once(self, message: bytes) -> str:
        try:
            if self._connection is None:
                self._connection = socket.create_connection(("127.0.0.1", next(self.ports)), timeout=2)
                self._connection.settimeout(PATIENCE)
            self._connection.sendall(b"\x0b" + message + b"\x1c\r")
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                if not (chunk := self._connection.recv(65536)):
                    raise ConnectionError
                answer += chunk
            found = CODE.search(answer)
            return found.group(1).decode() if found else "unreadable"
        except TimeoutError:
            self._hang_up()
            return "silence"
        except OSError:
            self._hang_up()
            return "no connection"

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Asker:
    """Asks for decisions about the EMR's patients, of the first address that answers.

    ``permitted``: answers "send" about somebody who refused before the question and went on to. ``accepted``: "send" about others, without
    which ``permitted`` could not be anything but 0.
    """

    def __init__(self, ports: Sequence[int], key: str, emr: Emr) -> None:
        self.ports, self.key, self.emr = list(ports), key, emr
        self.answered: list[float] = [time.monotonic()]
        self.codes, self.permitted, self.accepted = Counter[str](), 0, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Asks from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Asks no more."""
        self._ended.set()
        self._thread.join(60)

    def forget(self) -> None:
        """The drill begins now."""
        self.answered, self.codes = [time.monotonic()], Counter()

    def longest(self) -> float:
        """Seconds between two answers, at most."""
        times = [*self.answered, time.monotonic()] if self._thread.is_alive() else self.answered
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def _run(self) -> None:
        for number in cycle(range(PATIENTS)):
            if self._ended.wait(0.05):
                return
            self._ask(f"MRN{number}")

    def _ask(self, mrn: str) -> None:
        refusal = self.emr.refusals.get(mrn)
        body = {"patient": {"authority": "GENHOSP", "value": mrn}, "message_type": "automation", "channels": ["sms", "voice"]}
        status, answer = call(self.ports[0], "POST", "/v1/decisions", self.key, body, timeout=PATIENCE)
        self.codes[str(status)] += 1
        if status != 200:
            self.ports.append(self.ports.pop(0))
            return
        self.answered.append(time.monotonic())
        if answer["decision"] == "send" and refusal is None:
            self.accepted += 1
        elif answer["decision"] == "send":
            self.permitted += refusal == self.emr.refusals.get(mrn)


def call(port: int, method: str, path: str, key: str = "", body: Any = None, timeout: float = 10.0) -> tuple[int, Any]:
    """One request; status 0 where nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), {"Authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        text = answer.read()
        with suppress(ValueError):
            return answer.status, json.loads(text)
        return answer.status, text.decode()
    except (OSError, HTTPException):
        return 0, None
    finally:
        connection.close()
