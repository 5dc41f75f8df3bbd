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
from bench.drills.disks import filled
from bench.drills.machines import Machine, until
from bench.drills.server import Server, Wire
from bench.drills.stage import HOSPITAL, SILENCE, Stage
from bench.drills.traffic import call
from bench.drills.watching import SKEW
from bench.site import free_port
from store.db.database import Database
from store.runs.runs import Journal

ELSEWHERE, PEER = 5.0, 15.0
"""Seconds: until others serve the callers of a process that is lost; until intake goes on after a peer froze."""
LOGGED = 6.0
"""Seconds in which the log is told of failures that are over."""
NOTICED = 25.0
"""Seconds in which the others notice that a process is gone."""
FREEZE = """
import os, signal, sys
from store.db.database import Database, driver_connection
with Database.open(sys.argv[1]).write(sys.argv[2]) as transaction:
    if sys.argv[3:]:
        driver_connection(transaction).cursor().execute("SELECT 1")
        driver_connection(transaction).pgconn.exec_(sys.argv[3].encode())
    print("holding", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""
COPY = "COPY source_notes (source, key, enterprise, text) FROM STDIN"
END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
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
        emr.faults.delay = 1.0
        (stage.folder / "key.pem").write_text(emr.private_key)
        fhir = emr.fhir_source(enterprise=HOSPITAL, private_key=f"file:{stage.folder / 'key.pem'}")
        more = {"drill-fhir": {**fhir, "page_size": "10", "schedule": {"every": "1h"}}}
        workers = {f"worker-{name}": stage.serve("work", stage.config(name, more=more), host=f"worker-{name}") for name in "ab"}
        stage.serve("api", stage.config("api", more=more))
        stage.serve("listen")
        stage.begin()
        stage.serve("schedule", stage.config("schedule", more=more))
        with closing(Database.open(stage.url)) as database:
            journal = Journal(database)
            run = until(lambda: [one for one in journal.runs(source="drill-fhir") if one.status == "running"])[0]
            with database.read() as connection:
                owner = str(database.select(connection, "SELECT owner FROM runs WHERE id = ?", [run.id])[0][0]).partition(":")[0]
            began = time.monotonic()
            workers[owner].kill()
            until(lambda: [one for one in journal.runs(source="drill-fhir") if one.id != run.id and one.status in ("running", "done")])
            stage.measured, stage.seconds, stage.target = "the run goes on elsewhere", time.monotonic() - began, SILENCE + ELSEWHERE
            emr.faults.delay = 0
            until(lambda: [one for one in journal.runs(source="drill-fhir") if one.status == "done"])
        time.sleep(max(0.0, NOTICED - stage.seconds))


def kill_scheduler(stage: Stage, server: Server) -> None:
    """kill -9 of one of two schedulers"""
    with RehearsalEmr(patients=20, seed=11) as emr:
        (stage.folder / "key.pem").write_text(emr.private_key)
        fhir = emr.fhir_source(enterprise=HOSPITAL, private_key=f"file:{stage.folder / 'key.pem'}")
        more = {"drill-fhir": {**fhir, "schedule": {"every": "3s"}}}
        first = stage.serve("schedule", stage.config("a", more=more))
        stage.serve("schedule", stage.config("b", more=more))
        stage.serve("api,listen,work", stage.config("c", more=more))
        stage.begin()
        with closing(Database.open(stage.url)) as database:
            journal = Journal(database)
            until(lambda: len(journal.runs(source="drill-fhir")) >= 2)
            began, known = time.monotonic(), len(journal.runs(source="drill-fhir"))
            first.kill()
            until(lambda: len(journal.runs(source="drill-fhir")) > known)
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
    _frozen(stage, server)


def freeze_copying(stage: Stage, server: Server) -> None:
    """the same in the middle of a COPY, where no timeout of PostgreSQL applies"""
    _frozen(stage, server, COPY)


def _frozen(stage: Stage, server: Server, *copy: str) -> None:
    stage.serve("api,listen,schedule,work")
    stage.begin()
    mark = server.log.stat().st_size
    with subprocess.Popen([sys.executable, "-c", FREEZE, stage.url, HOSPITAL, *copy], stdout=subprocess.PIPE) as peer:
        assert peer.stdout is not None
        peer.stdout.readline()
        stage.recovered()
        peer.kill()
    time.sleep(LOGGED)
    stage.measured, stage.seconds, stage.target = _log(server, mark), stage.emr.longest(), PEER


def end_connections(stage: Stage, server: Server) -> None:
    """the server ends all connections (pg_terminate_backend)"""
    stage.serve("api,listen,schedule,work")
    stage.begin()
    with closing(psycopg.connect(server.conninfo(stage.url.rpartition("/")[2]), autocommit=True)) as other:
        other.execute(END_ALL)
    stage.recovered()


def end_locked(stage: Stage, server: Server) -> None:
    """SIGTERM while another program locks the table of patients, a message under way; then started again"""
    machine = stage.serve("api,listen,schedule,work")
    stage.begin()
    with closing(psycopg.connect(server.conninfo(stage.url.rpartition("/")[2]))) as other:
        other.execute("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE")
        time.sleep(1)
        _ended(stage, machine)
        other.rollback()
    _started_again(stage, machine)


def end_stopped(stage: Stage, server: Server) -> None:
    """SIGTERM while PostgreSQL stands still, a message under way; then both go on"""
    machine = stage.serve("api,listen,schedule,work")
    stage.begin()
    server.signal(signal.SIGSTOP)
    time.sleep(1)
    _ended(stage, machine)
    server.signal(signal.SIGCONT)
    _started_again(stage, machine)


def _ended(stage: Stage, machine: Machine) -> None:
    began = time.monotonic()
    code = machine.end()
    stage.measured, stage.seconds = f"ended with {code} after {time.monotonic() - began:.1f} s", time.monotonic() - began


def _started_again(stage: Stage, machine: Machine) -> None:
    stage.serve(machine.roles, machine.config)
    stage.recovered()


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


def cut_emr(stage: Stage, server: Server) -> None:
    """the network between the EMR and the listener takes everything and carries nothing for 25 s; then old connections are dead"""
    stage.serve("api,listen,schedule,work", stage.config("cut", freshness="10s"))
    wire = Wire(stage.listeners[0])
    stage.afterwards.append(wire.close)
    stage.listeners[:] = [wire.port]
    stage.begin()
    wire.cut.set()
    time.sleep(25)
    wire.mend()
    stage.recovered()


def stop_emr(stage: Stage, server: Server) -> None:
    """an EMR that is read every 3 s is away until two runs failed; then it is back"""
    emr = RehearsalEmr(patients=20, seed=11, port=free_port()).start()
    stage.afterwards.append(lambda: emr.stop())
    (stage.folder / "key.pem").write_text(emr.private_key)
    fhir = emr.fhir_source(enterprise=HOSPITAL, private_key=f"file:{stage.folder / 'key.pem'}")
    stage.serve("api,listen,schedule,work", stage.config("all", more={"drill-fhir": {**fhir, "schedule": {"every": "3s"}}}))
    with closing(Database.open(stage.url)) as database:
        journal = Journal(database)
        until(lambda: [one for one in journal.runs(source="drill-fhir") if one.status == "done"])
        stage.begin()
        emr.stop()
        until(lambda: len([one for one in journal.runs(source="drill-fhir") if one.status == "failed"]) > 1)
        emr.start()
        back = time.monotonic()
        until(lambda: journal.runs(source="drill-fhir")[0].status == "done")
        stage.measured, stage.seconds, stage.target = "a run succeeds after the EMR is back", time.monotonic() - back, 3 + ELSEWHERE
    stage.recovered()


def full_disk(stage: Stage, server: Server) -> None:
    """the server's disk (a tmpfs, with its data and its log of transactions) is full for 15 s"""
    stage.serve("api,listen,schedule,work")
    stage.begin()
    mark = server.log.stat().st_size
    with filled(server.folder.parent):
        began = time.monotonic()
        with suppress(psycopg.Error), closing(psycopg.connect(server.conninfo("postgres"), autocommit=True)) as other:
            while True:  # until the log of transactions needs a file that the disk has no room for
                other.execute("SELECT pg_logical_emit_message(false, 'drill', repeat('x', 1000000))")
        time.sleep(max(0.0, began + 15 - time.monotonic()))
    stage.measured = _log(server, mark)
    if not server.is_up():
        (server.data / "postmaster.pid").unlink(missing_ok=True)
        server.start()
        stage.manual = "free space; start PostgreSQL, where nothing else does"
    else:
        stage.manual = "free space"
    stage.recovered()


def clock(shift: str, told: str) -> Callable[[Stage, Server], None]:
    """One of two listeners, and one of two APIs, has a wrong clock."""

    def drill(stage: Stage, server: Server) -> None:
        stage.serve("api,listen", environment={**SHIFTED, "FAKETIME": shift})
        stage.serve("api,listen")
        stage.begin()
        time.sleep(10)
        stage.recovered()
        if stage.watcher.metrics.isdisjoint({SKEW}):
            raise RuntimeError("the clock was not wrong: install libfaketime (apt-get install faketime)")
        stage.measured = _where(stage)

    drill.__doc__ = f"the clock of one of two machines (api, listen) is {told}"
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
    "freeze-copying": freeze_copying,
    "end-connections": end_connections,
    "end-locked": end_locked,
    "end-stopped": end_stopped,
    "silence": silence,
    "foreign-lock": foreign_lock,
    "cut-network": cut_network,
    "cut-emr": cut_emr,
    "stop-emr": stop_emr,
    "full-server-disk": full_disk,
    "clock-behind": clock("-2h", "two hours behind"),
    "clock-ahead": clock("+2h", "two hours ahead"),
    "clock-20-minutes": clock("-20m", "20 minutes behind"),
    "clock-30-seconds": clock("-30s", "30 seconds behind"),
    "descriptors": descriptors,
}
ON_SMALL_DISK = frozenset({"full-server-disk"})
"""With a server of their own."""
