"""MLLP intake with TLS over 64 connections, where one frame in a hundred is bad and ends its connection.

The floor is the same receiver without TLS and with good frames only, measured in turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from adapters.rehearsal import certificate
from bench import load_mllp
from bench.databases import Databases
from bench.done import require
from bench.figure import Figure
from bench.receiver import Receiver, receiving
from bench.turns import Rate, in_turns, processor_seconds

CONNECTIONS, BAD_EVERY = 64, 100


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    count, rounds = (4_000, 1) if quick else (20_000, 3)
    for kind in databases.kinds:
        plain, secured = in_turns(rounds, partial(_plain, databases, kind, count), partial(_secured, databases, kind, count))
        what, details = f"MLLP over TLS, {CONNECTIONS} connections, 1 in {BAD_EVERY} frames bad", {"messages": count}
        yield Figure.of("secured", what, secured, "messages/s", plain, "plain, all good", least_ratio=0.7, database=kind, details=details)


def _plain(databases: Databases, kind: str, count: int) -> Rate:
    with databases.fresh(kind) as url, tempfile.TemporaryDirectory() as folder, receiving(Path(folder), url, "real") as receiver:
        return _rate(receiver, count, bad_every=0, ca="")


def _secured(databases: Databases, kind: str, count: int) -> Rate:
    with databases.fresh(kind) as url, tempfile.TemporaryDirectory() as folder:
        made = certificate.create()
        files = {"certificate": Path(folder) / "certificate.pem", "key": Path(folder) / "key.pem"}
        files["certificate"].write_text(made.certificate)
        files["key"].write_text(made.key)
        tls = {name: f"file:{path}" for name, path in files.items()}
        with receiving(Path(folder), url, "real", tls) as receiver:
            return _rate(receiver, count, bad_every=BAD_EVERY, ca=str(files["certificate"]))


def _rate(receiver: Receiver, count: int, *, bad_every: int, ca: str) -> Rate:
    used = processor_seconds(receiver.pid)
    result = load_mllp.drive(receiver.port, connections=CONNECTIONS, messages=count, revision=0, bad_every=bad_every, ca=ca)
    bad = count // bad_every if bad_every else 0
    if (result["accepted"], result["given_up"]) != (count, bad):
        raise RuntimeError(f"of {count} messages and {bad} bad frames {result['accepted']} were accepted, {result['given_up']} cut off")
    used, counts = processor_seconds(receiver.pid) - used, receiver.counts()
    require(counts, count, "applied")
    return Rate(result["rate"], 1e6 * used / count, counts)
