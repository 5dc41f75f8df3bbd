"""Drills over PostgreSQL, where each role may be several processes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress

import psycopg

from adapters.rehearsal.emr import RehearsalEmr
from bench.drills.machines import until
from bench.drills.server import Server, Wire
from bench.drills.stage import HOSPITAL, SILENCE, Stage
from bench.drills.traffic import call
from store.database import Database
from store.journal import Journal

ELSEWHERE, PEER = 5.0, 15.0
"""Seconds: until others serve the callers of a process that is lost; until intake goes on after a peer froze."""
NOTICED = 25.0
"""Seconds in which the others notice that a process is gone."""
FREEZE = """
import os, signal, sys
from store.database import Database
with Database.open(sys.argv[1]).write(sys.argv[2]):
    print("holding", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""
SHIFTED = {"LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def kill_listener(stage: Stage, server: Server) -> None:
    """kill -9 of one of two listeners; the EMR knows both addresses"""
    first = stage.serve("listen")
    stage.serve("listen")
    stage.serve("api")
    stage.begin()
    first.kill()
    stage.recovered()
    stage.measured, stage.seconds, stage.target = "intake by the other", stage.emr.longest(), ELSEWHERE
    time.sleep(NOTICED)


def kill_api(stage: Stage, server: Server) -> None:
    """kill -9 of one of two APIs; senders know both addresses"""
    first = stage.serve("api")
    stage.serve("api")
    stage.serve("listen")
    stage.begin()
    first.kill()
    stage.recovered()
    stage.measured, stage.seconds, stage.target = "decisions by the other", stage.asker.longest(), ELSEWHERE
    time.sleep(NOTICED)


def kill_worker(stage: Stage, server: Server) -> None:
    """kill -9 of a worker on another host in the middle of a run"""
    with RehearsalEmr(patients=200, seed=11) as emr:
        emr.faults.delay = 0.5
        (stage.folder / "key.pem").write_text(emr.private_key)
        fhir = emr.fhir_source(enterprise=HOSPITAL, private_key=f"file:{stage.folder / 'key.pem'}")
        more = {"drill-fhir": {**fhir, "page_size": "10", "schedule": {"every": "1h"}}}
        workers = {f"worker-{name}": stage.serve("work", stage.config(name, **more), host=f"worker-{name}") for name in "ab"}
        stage.serve("api,schedule", stage.config("api", **more))
        stage.serve("listen")
        stage.begin()
        with closing(Database.open(stage.url)) as database:
            journal = Journal(database)
            run = until(lambda: [one for one in journal.runs("drill-fhir") if one.status == "running"])[0]
            with database.read() as connection:
                owner = str(database.select(connection, "SELECT owner FROM runs WHERE id = ?", [run.id])[0][0]).partition(":")[0]
            began = time.monotonic()
            workers[owner].kill()
            until(lambda: [one for one in journal.runs("drill-fhir") if one.id != run.id and one.status in ("running", "done")])
            stage.measured, stage.seconds, stage.target = "the run goes on elsewhere", time.monotonic() - began, SILENCE + ELSEWHERE
            emr.faults.delay = 0
            until(lambda: [one for one in journal.runs("drill-fhir") if one.status == "done"])
        time.sleep(max(0.0, NOTICED - stage.seconds))


def kill_scheduler(stage: Stage, server: Server) -> None:
    """kill -9 of one of two schedulers"""
    with RehearsalEmr(patients=20, seed=11) as emr:
        (stage.folder / "key.pem").write_text(emr.private_key)
        fhir = emr.fhir_source(enterprise=HOSPITAL, private_key=f"file:{stage.folder / 'key.pem'}")
        more = {"drill-fhir": {**fhir, "schedule": {"every": "3s"}}}
        first = stage.serve("schedule", stage.config("a", **more))
        stage.serve("schedule", stage.config("b", **more))
        stage.serve("api,listen,work", stage.config("c", **more))
        stage.begin()
        with closing(Database.open(stage.url)) as database:
            journal = Journal(database)
            until(lambda: len(journal.runs("drill-fhir")) >= 2)
            began, known = time.monotonic(), len(journal.runs("drill-fhir"))
            first.kill()
            until(lambda: len(journal.runs("drill-fhir")) > known)
            stage.measured, stage.seconds, stage.target = "next run asked for", time.monotonic() - began, 3 + ELSEWHERE
        time.sleep(NOTICED)


def kill_database(stage: Stage, server: Server) -> None:
    """kill -9 of every process of PostgreSQL; started again after 5 s"""
    stage.serve("api,listen,schedule,work")
    stage.begin()
    began = time.monotonic()
    server.signal(signal.SIGKILL)
    time.sleep(5)
    (server.data / "postmaster.pid").unlink(missing_ok=True)
    server.start()
    back = time.monotonic() - began
    stage.recovered()
    stage.manual = "start PostgreSQL, where nothing else does"
    stage.measured, stage.seconds = f"intake goes on after the server is back (down {back:.1f} s)", stage.emr.longest() - back


def stop_database(stage: Stage, server: Server) -> None:
    """PostgreSQL stands still (SIGSTOP) for 20 s"""
    stage.serve("api,listen,schedule,work")
    stage.begin()
    server.signal(signal.SIGSTOP)
    time.sleep(20)
    server.signal(signal.SIGCONT)
    stage.recovered()


def freeze_peer(stage: Stage, server: Server) -> None:
    """a peer stands still (SIGSTOP) inside a transaction, holding the enterprise's lock"""
    stage.serve("api,listen,schedule,work")
    stage.begin()
    mark = server.log.stat().st_size
    with subprocess.Popen([sys.executable, "-c", FREEZE, stage.url, HOSPITAL], stdout=subprocess.PIPE) as peer:
        assert peer.stdout is not None
        peer.stdout.readline()
        stage.recovered()
        peer.kill()
    stage.measured, stage.seconds, stage.target = _log(server, mark), stage.emr.longest(), PEER


def silence(stage: Stage, server: Server) -> None:
    """400 connections that say nothing to the listener, and 400 to the API, for 15 s"""
    stage.serve("api,listen,schedule,work")
    stage.begin()
    with ExitStack() as held:
        for port in (stage.listeners[0], stage.apis[0]):
            for number in range(400):
                one = held.enter_context(socket.socket())
                one.settimeout(2)
                one.bind((f"127.0.0.{2 + number % 3}", 0))
                with suppress(OSError):
                    one.connect(("127.0.0.1", port))
        time.sleep(15)
    stage.recovered()


def foreign_lock(stage: Stage, server: Server) -> None:
    """another program locks the table of patients (ACCESS EXCLUSIVE) for 25 s"""
    stage.serve("api,listen,schedule,work")
    stage.begin()
    mark = server.log.stat().st_size
    with closing(psycopg.connect(server.conninfo(stage.url.rpartition("/")[2]))) as other:
        other.execute("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE")
        time.sleep(25)
        other.rollback()
    stage.recovered()
    stage.measured = _log(server, mark)


def cut_network(stage: Stage, server: Server) -> None:
    """the network between service and PostgreSQL takes everything and carries nothing for 25 s; then old connections are dead"""
    wire = Wire(server.port)
    stage.afterwards.append(wire.close)
    stage.serve("api,listen,schedule,work", stage.config("cut", server.url(stage.url.rpartition("/")[2], wire.port)))
    stage.begin()
    wire.cut.set()
    time.sleep(25)
    wire.mend()
    stage.recovered()


def clock(hours: int) -> Callable[[Stage, Server], None]:
    """One of two listeners, and one of two APIs, has a wrong clock."""

    def drill(stage: Stage, server: Server) -> None:
        stage.serve("api,listen", environment={**SHIFTED, "FAKETIME": f"{hours:+d}h"})
        stage.serve("api,listen")
        stage.begin()
        time.sleep(10)
        stage.recovered()
        stage.measured = _where(stage)

    drill.__doc__ = f"the clock of one of two machines (api, listen) is {abs(hours)} h {'ahead' if hours > 0 else 'behind'}"
    return drill


def descriptors(stage: Stage, server: Server) -> None:
    """96 descriptors (RLIMIT_NOFILE); somebody opens 400 connections to the API and 400 to the listener for 15 s"""
    stage.serve("api,listen,schedule,work", descriptors=96)
    stage.begin()
    with ExitStack() as held:
        for port, source in ((stage.listeners[0], "127.0.0.2"), (stage.apis[0], "127.0.0.3")):
            for _ in range(400):
                one = held.enter_context(socket.socket())
                one.settimeout(2)
                one.bind((source, 0))
                with suppress(OSError):
                    one.connect(("127.0.0.1", port))
        time.sleep(15)
    stage.recovered()


def _log(server: Server, mark: int) -> str:
    """What PostgreSQL's own log says of it."""
    lines = [line for line in server.told(mark).splitlines() if any(word in line for word in ("FATAL:", "ERROR:", "PANIC:"))]
    told = dict.fromkeys(line.partition("FATAL:")[2].strip() or line.partition("ERROR:")[2].strip() for line in lines)
    return "PostgreSQL's log: " + ("; ".join(told) or "nothing")


def _where(stage: Stage) -> str:
    """How ready each API is."""
    found = [call(port, "GET", "/readyz", stage.operator)[1] for port in stage.apis]
    return "clock_skew " + ", ".join(str(one.get("clock_skew")) if isinstance(one, dict) else "?" for one in found)


DRILLS: Mapping[str, Callable[[Stage, Server], None]] = {
    "kill-listener": kill_listener,
    "kill-api": kill_api,
    "kill-worker": kill_worker,
    "kill-scheduler": kill_scheduler,
    "kill-database": kill_database,
    "stop-database": stop_database,
    "freeze-peer": freeze_peer,
    "silence": silence,
    "foreign-lock": foreign_lock,
    "cut-network": cut_network,
    "clock-behind": clock(-2),
    "clock-ahead": clock(2),
    "descriptors": descriptors,
}
