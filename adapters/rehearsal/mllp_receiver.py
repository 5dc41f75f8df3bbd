"""The rehearsal EMR's listener for updates (ADT^A31) by other systems, on loopback only. One message at a time per connection.

It has its own framing and reads only what it needs, so that it tests the sender with independent code. It takes nothing but a denial of
texts: a deleted field (two double quotes), or any other value, is answered AE.
"""

from __future__ import annotations

from collections.abc import Callable
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

from adapters.rehearsal.population import index_of
from adapters.rehearsal.written import Written

START, END = b"\x0b", b"\x1c\r"
DENIES = ("PD1", 11, "01")
ALLOWED = {"PID": {1, 3}, "PD1": {11}, "PV1": {1, 2}}
NO_ANSWER, SILENT = "", "silent"


class UpdateListener:
    """Receives updates. ``codes``: acknowledgement codes that the next messages get instead; empty for no answer after the change.

    ``SILENT`` is no answer either, and the connection stays open. ``before_answer`` is called after a change, before it is acknowledged.
    """

    def __init__(self, written: Written, port: int = 0) -> None:
        self.written, self.messages = written, list[bytes]()
        self.codes: list[str] = []
        self.before_answer: Callable[[], object] = lambda: None
        listener = self

        class FrameHandler(StreamRequestHandler):
            """One connection."""

            def handle(self) -> None:
                while frame := self._frame():
                    answer = listener.answer(frame)
                    if answer == b"":
                        return
                    if answer is not None:
                        self.wfile.write(START + answer + END)

            def _frame(self) -> bytes:
                found = b""
                while not found.endswith(END):
                    byte = self.rfile.read(1)
                    if not byte:
                        return b""
                    found += byte
                return found.removeprefix(START).removesuffix(END)

        class FrameServer(ThreadingTCPServer):
            """Connections do not outlive it."""

            daemon_threads, allow_reuse_address = True, True

        self._server = FrameServer(("127.0.0.1", port), FrameHandler)
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="rehearsal-a31", daemon=True)

    def __enter__(self) -> UpdateListener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, body: bytes) -> bytes | None:
        """Applies a message; its acknowledgement. Empty to close the connection instead, ``None`` to say nothing."""
        self.messages.append(body)
        segments = [line.split("|") for line in body.decode().split("\r") if line]
        planned = self.codes.pop(0) if self.codes else None
        code = (planned if planned != SILENT else None) or self._applied(segments)
        self.before_answer()
        if planned in (NO_ANSWER, SILENT):
            return b"" if planned == NO_ANSWER else None
        control = segments[0][9] if len(segments[0]) > 9 else ""
        return f"MSH|^~\\&|REHEARSAL||EMR-SYNC||||ACK^A31|1|P|2.5\rMSA|{code}|{control}\r".encode()

    def _applied(self, segments: list[list[str]]) -> str:
        if segments[0][8:9] != ["ADT^A31^ADT_A05"]:
            return "AR"
        by_name = {fields[0]: fields for fields in segments}
        for name, fields in by_name.items():
            valued = {number for number, value in enumerate(fields[1:], 1) if value}
            if name not in ("MSH", "EVN") and valued - ALLOWED.get(name, set()):
                return "AE"
        index = index_of(by_name.get("PID", [""] * 4)[3].partition("^")[0])
        name, number, code = DENIES
        denied = (by_name.get(name, []) + [""] * 12)[number].partition("^")[0] == code
        if index is None or index >= self.written.chart.population.size or not denied:
            return "AE"
        self.written.chart.deny_texts(index)
        return "AA"
