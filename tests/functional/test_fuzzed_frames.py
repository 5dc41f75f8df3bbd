"""Fuzzes the running program with frames over a real socket: each complete frame is answered once, and the program keeps running."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.framing import Deframer, frame
from adapters.hl7v2.reader import read
from store.db.database import Database
from tests.adapters.hl7v2.messages import adt
from tests.functional.fuzzing import PATIENCE, SEED, Target, corrupted, cut, drawn, header, inputs, target

TIMES = ("99999999999999", "00000000", "20260230", "20261101083000+9999", "2026", "-1", "20261101", "202611010830.99999", "NaN")
TOKENS = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\r", b"|" * 40, b"^" * 2_000, b"~" * 2_000, b"&" * 300, b"\x0b",
    b"\x07", b"\x1b$B",
    b"\\", b"\\H\\", b"\\X41\\", b"\\XZZ\\", b"9" * 5_000, b"+" * 70, b'""', b"\xed\xa0\x80", b"\xc3", "\u202e\u0130\U0001f4a9".encode(),
    b"|DNC|", b"\rZCP|1|DNC\r", b"\rMSH|", b"\rPID|", b"\rBTS|9\r",
)  # fmt: skip
SPOILS = (b"\x1c", b"\x1c\r", b"\x0b", b"\x0bMSH|^~\\&|", b"\x1c\x1c", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x00" * 9)
ANSWERS = {"AA", "AE", "CA", "CE"}
"""AR is for what cannot be handled now: a sender would send it for ever."""
HUNG_UP = ("frame_unfinished", "frame_garbage")


def complete_message(draw: Random, number: int) -> bytes:
    """A message of the tests' builders with one or several mutations."""
    mrn, control = f"MRN{draw.randrange(60)}^^^GENHOSP^MR", f"F{number}"
    event = draw.choice(("A08", "A08", "A04", "A31", "A40", "A23", "A43", "A24"))
    more = [f"ZCP|1|{draw.choice(('DNC', 'OK', 'WHAT', ''))}", "PD1|||||||||||N"]
    more += [f"MRG|MRN{draw.randrange(60)}^^^GENHOSP^MR"] if event in ("A40", "A43", "A24") else []
    fields = {"f5": "Invented^One", "f7": draw.choice(("19700101", *TIMES)), "f13": "(217)555-0101^PRN^CP~555^NET^X", "f15": "eng"}
    body = adt(event, *more, header=header(control, event), f3=mrn, **fields)
    kind = draw.randrange(10)
    if kind == 0:
        return draw.randbytes(draw.choice((1, 2, 30, 3_000)))
    if kind == 1:
        return body + b"NTE|1||" + draw.choice((b"x", b"^", b"~", b"\\F\\", b"\x00")) * draw.choice((10_000, 60_000, 250_000))
    if kind == 2:
        return body.decode().encode(draw.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32")))
    if kind == 3:
        return body.replace(b"\r", draw.choice((b"\n", b"\r\n", b"\r\r", b"\x85", b""))).replace(
            b"|", draw.choice((b"|", b"#", b"^", b"|"))
        )
    if kind == 4:
        lines = body.split(b"\r")
        draw.shuffle(lines)
        return b"\r".join(lines * draw.choice((1, 2, 40)))
    if kind == 5:
        return (
            b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + body * draw.choice((1, 5)) + b"BTS|" + draw.choice((b"1", b"9" * 5_000, b"-1")) + b"\rFTS|1\r"
        )
    if kind == 6:
        return re.sub(rb"\|20\d{12}\+0000\|", b"|" + draw.choice(TIMES).encode() + b"|", body)
    return corrupted(draw, body, TOKENS)


def readable(content: bytes) -> bytes:
    """The content without end-of-frame bytes, so that it must be answered."""
    return content.replace(b"\x1c", b"?").replace(b"\x0bMSH", b"?MSH") or b"?"


def may_have_other_answers(content: bytes) -> bool:
    """Whether the message may require none or several acknowledgements: by MSH-15 or MSH-16, or because it is an acknowledgement itself."""
    if not content.startswith(b"MSH|^~\\&|ADT|") or any(word in content for word in (b"MSA", b"ACK", b"MCF")):
        return True
    return re.split(rb"[\r\n]", content)[0].count(b"|") > 13


class Peer:
    """A client connection, with the bytes received on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.deframer = Deframer()

    def answers(self) -> Iterator[bytes]:
        """Acknowledgements until the server closes the connection; ``TimeoutError`` if it does neither."""
        while chunk := self._chunk():
            yield from self.deframer.feed(chunk)
            assert self.deframer.error is None

    def _chunk(self) -> bytes:
        with suppress(ConnectionError):
            return self.socket.recv(65_536)
        return b""


@pytest.fixture
def program(tmp_path: Path, database_url: str) -> Iterator[Target]:
    with target(tmp_path, database_url) as found:
        yield found


@pytest.mark.timeout(3_000)
def test_every_complete_frame_is_acknowledged_once_and_the_program_keeps_running(program: Target) -> None:
    broken = 0
    for number, draw in inputs():
        where = f"EMR_SYNC_FUZZ_SEED={SEED}, input {number}"
        try:
            if draw.random() < 0.7:
                send_complete_frames(program, number, draw)
            else:
                broken += send_broken_stream(program, number, draw)
        except (AssertionError, OSError, UnusableMessage) as error:
            raise AssertionError(f"{where}: {type(error).__name__} {error}") from error
        if number % 500 == 499:
            program.check_health(number)
    program.check_health(0)
    seen(program, broken)
    program.print_counts("frames")


def send_complete_frames(program: Target, number: int, draw: Random) -> None:
    """Sends several complete frames on one connection, then a valid one: each gets its answer, in order, and the connection stays open."""
    contents = [readable(complete_message(draw, number)) for _ in range(draw.choice((1, 1, 2, 5, 20)))]
    last = adt("A08", header=header(f"LAST{number}"), f3="LAST^^^GENHOSP^MR")
    wire = b"".join(frame(one) + draw.choice((b"", b"\r\n", b"\x00", b"  ")) for one in contents) + frame(last)
    peer, codes = Peer(program.mllp), []
    with peer.socket:
        for piece in cut(draw, wire):
            peer.socket.sendall(piece)
        for reply in peer.answers():
            found = read(reply)
            codes.append(found.field("MSA", 1))
            if found.field("MSA", 2) == f"LAST{number}":
                break
    program.note(*(f"answered {code}" for code in codes), *["frames"] * (len(contents) + 1))
    assert set(codes) <= ANSWERS, codes
    assert codes[-1:] == ["AA"], "the connection was closed"
    certain = sum(not may_have_other_answers(one) for one in contents)
    assert certain < len(codes) <= 2 * len(contents) + 1, (certain, len(contents), codes)
    assert certain < len(contents) or len(codes) == len(contents) + 1, (len(contents), codes)


def send_broken_stream(program: Target, number: int, draw: Random) -> int:
    """Sends a broken stream: the connection is closed, with no more answers than frames. Returns 1 if that must be reported."""
    content = complete_message(draw, number)
    kind = draw.randrange(4)
    wire = (
        b"\x0b" + readable(content),  # never finished
        draw.choice((b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"x")) + frame(content),  # garbage before it
        b"\x0bMSH|half" + frame(b"MSH|" + readable(content)),  # a frame inside a frame
        corrupted(draw, frame(content) * draw.choice((1, 3)), (*SPOILS, *TOKENS)),
    )[kind]
    peer, codes = Peer(program.mllp), []
    with peer.socket:
        with suppress(OSError):  # the server may have closed the connection already
            for piece in cut(draw, wire):
                peer.socket.sendall(piece)
            peer.socket.shutdown(socket.SHUT_WR)
        codes = [read(reply).field("MSA", 1) for reply in peer.answers()]
    program.note("broken streams", *(f"answered {code}" for code in codes))
    assert set(codes) <= ANSWERS, codes
    assert len(codes) <= 2 * wire.count(b"\x1c")
    return int(kind < 3)


def seen(program: Target, broken: int) -> None:
    """Checks that every broken stream is in the list of rejections."""
    database, end = Database.open(program.database), time.monotonic() + PATIENCE
    rows = "SELECT SUM(times) FROM rejections WHERE reason IN ??"
    try:
        while True:
            with database.read() as connection:
                ((found,),) = database.select(connection, rows, [list(HUNG_UP)])
            if (found or 0) >= broken:
                return
            assert time.monotonic() < end, (found, broken)
            time.sleep(0.1)
    finally:
        database.close()


def test_an_input_is_reproducible() -> None:
    assert len({complete_message(drawn(7, 3), 3) for _ in range(2)}) == 1
    assert len({complete_message(drawn(7, number), number) for number in range(20)}) == 20
