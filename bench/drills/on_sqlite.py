"""Drills over an SQLite file, and of one process by itself."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from bench.drills.disks import filled
from bench.drills.machines import until
from bench.drills.stage import Stage
from bench.drills.traffic import call

ALL = "api,listen,schedule,work"
NOTICED = 25.0
"""Seconds in which the next process notices that the one before it was killed."""
RESTORE = "stop the service, remove -wal and -shm, put the backup in place, start"


def kill_all(stage: Stage, file: Path) -> None:
    """kill -9 of the one process; started again at once"""
    machine = stage.serve(ALL)
    stage.begin()
    machine.kill()
    _again(stage)
    stage.recovered()
    stage.manual = "start the service, where nothing else does"
    time.sleep(NOTICED)


def full_disk(stage: Stage, file: Path) -> None:
    """the disk (a tmpfs) is full for 15 s"""
    stage.serve(ALL)
    stage.begin()
    with filled(file.parent):
        time.sleep(15)
    stage.recovered()
    stage.manual = "make room"


def foreign_lock(stage: Stage, file: Path) -> None:
    """another program holds the file's lock for 25 s"""
    stage.serve(ALL)
    stage.begin()
    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(25)
        other.execute("ROLLBACK")
    stage.recovered()


def deleted(stage: Stage, file: Path) -> None:
    """the file is deleted; after 10 s the backup of a moment ago is put back and the service restarted"""
    stage.serve(ALL)
    stage.begin()
    with stage.emr.turn:
        _backup(file)
        file.unlink()
    time.sleep(10)
    _restored(stage, file)


def replaced(stage: Stage, file: Path) -> None:
    """the file is replaced by a copy of itself; after 10 s the service is restarted on the copy"""
    stage.serve(ALL)
    stage.begin()
    with stage.emr.turn:
        copy = _backup(file)
        shutil.copy(copy, file.parent / "copy.db")
        (file.parent / "copy.db").replace(file)
    time.sleep(10)
    _restored(stage, file)


def corrupt(stage: Stage, file: Path) -> None:
    """half of the file is overwritten with nonsense; after 10 s the backup of a moment ago is restored"""
    stage.serve(ALL)
    stage.begin()
    with stage.emr.turn:
        _backup(file)
        with closing(sqlite3.connect(file, timeout=30)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = file.stat().st_size
        with file.open("r+b") as stream:
            stream.seek(8192)
            stream.write(b"\xa5" * (size // 2))
    time.sleep(10)
    _restored(stage, file)


def older_backup(stage: Stage, file: Path) -> None:
    """an older backup is restored; what came since is missing until the EMR sends it again"""
    stage.serve(ALL)
    stage.begin()
    _backup(file)
    time.sleep(5)
    _, page = call(stage.apis[0], "GET", "/v1/changes?limit=1000", stage.sender)
    stage.machines[-1].end()
    stage.emr.refusals.clear()  # those since the backup are missing until they are sent again
    _restored(stage, file)
    status, told = call(stage.apis[0], "GET", f"/v1/changes?after={page['next']}&epoch={page['epoch']}", stage.sender)
    stage.emr.stop()
    stage.emr.again()
    stage.manual = f"{RESTORE}; the EMR sends again what came since"
    stage.measured = f"a client of the feed is answered {status} {told.get('type', '').rpartition('/')[2] or told.get('code', '')}"


def memory(stage: Stage, file: Path) -> None:
    """the process gets no more memory than it has (RLIMIT_AS) for 15 s, while a sender asks about 10,000 patients again and again"""
    machine = stage.serve(ALL)
    stage.begin()
    status = Path(f"/proc/{machine.process.pid}/status").read_text()
    used = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmSize"))
    before = resource.prlimit(machine.process.pid, resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
    patient = {"authority": "GENHOSP", "value": "MRN1"}
    asks = [{"patient": patient, "message_type": "automation", "channels": ["sms"]}] * 10_000
    answers, until_then = Counter[int](), time.monotonic() + 15
    while time.monotonic() < until_then and machine.process.poll() is None:
        answers[call(stage.apis[0], "POST", "/v1/decisions/batch", stage.sender, asks)[0]] += 1
    if machine.process.poll() is None:
        resource.prlimit(machine.process.pid, resource.RLIMIT_AS, before)
        stage.measured = f"the process lived on; batches were answered {dict(answers)}"
    else:
        stage.measured, stage.manual = f"the process ended with {machine.process.returncode}", "start the service, where nothing else does"
        _again(stage)
    stage.recovered()


def _backup(file: Path) -> Path:
    copy = file.parent / "backup.db"
    with closing(sqlite3.connect(file, timeout=30)) as one, closing(sqlite3.connect(copy)) as other:
        one.backup(other)
    return copy


def _restored(stage: Stage, file: Path) -> None:
    """As docs/backup.md says."""
    stage.machines[-1].end()
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    (file.parent / "backup.db").replace(file)
    _again(stage)
    stage.recovered()
    stage.manual = RESTORE


def _again(stage: Stage) -> None:
    """The same configuration, started anew."""
    stage.serve(ALL, stage.machines[-1].config)
    until(lambda: call(stage.apis[0], "GET", "/readyz")[0] == 200)


DRILLS: Mapping[str, Callable[[Stage, Path], None]] = {
    "kill-all": kill_all,
    "full-disk": full_disk,
    "file-lock": foreign_lock,
    "file-deleted": deleted,
    "file-replaced": replaced,
    "file-corrupt": corrupt,
    "older-backup": older_backup,
    "memory": memory,
}
RESTORED = frozenset({"older-backup"})
"""Messages between backup and fault are in no row of the history: the last of each patient was sent again."""
ON_SMALL_DISK = frozenset({"full-disk"})
