"""One life of a child process: it is started, told what to use, listened to, and told to end.

The child is a fresh interpreter. A connection joins the two (``sync.parent`` is its other end). Nobody here waits for a child that does not
read: what it is told waits in a thread of its own.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from queue import SimpleQueue
from types import MappingProxyType

from sync.signals import CHILD_DRAIN

NO_FILES: Mapping[str, int] = MappingProxyType({})
NOT_FOR_CHILDREN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "EMR_SYNC_METRICS", "EMR_SYNC_WORKERS")
"""Of the environment: what the service manager tells one process, what only one can have, and how many children to start."""


class ChildProcess:
    """A process that runs. Raises ``OSError`` if it cannot be started. ``reported`` is called with each line of the child.

    ``files``: options of the child that are numbers of files, which it inherits.
    """

    def __init__(self, arguments: Collection[str], reported: Callable[[bytes], None], files: Mapping[str, int] = NO_FILES) -> None:
        self.reported = reported
        self._connection, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = _started(arguments, {"--parent": theirs.fileno(), **files})
        except OSError:
            self._connection.close()
            raise
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="tell child", daemon=True)
        self._sender.start()

    def tell(self, message: bytes) -> None:
        """Sends a message, in order. Returns at once."""
        self._outbox.put(message)

    def end(self) -> None:
        """Has the child drain and end, after what it was told. Returns at once."""
        self._outbox.put(None)

    def kill(self) -> None:
        """Ends a child that does not end by itself."""
        self.process.kill()

    def follow(self) -> int:
        """Reads what the child reports until it has ended. Returns its exit code."""
        try:
            with suppress(OSError), self._connection.makefile("rb") as lines:
                for line in lines:
                    self.reported(line)
            return self._exit_code()
        finally:
            self._outbox.put(None)
            self._sender.join()
            self._connection.close()

    def _exit_code(self) -> int:
        """It closed the connection, so it has nothing left to do."""
        try:
            return self.process.wait(CHILD_DRAIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _send(self) -> None:
        with suppress(OSError):  # it has ended, and whoever follows it knows
            while (message := self._outbox.get()) is not None:
                self._connection.sendall(message)
            self._connection.shutdown(socket.SHUT_WR)  # its last report is still read


def _started(arguments: Collection[str], files: Mapping[str, int]) -> subprocess.Popen[bytes]:
    """``-P``: modules of the current folder are not imported. A group of its own: Ctrl-C in a terminal is for the parent."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "sync", *arguments, *(text for name, number in files.items() for text in (name, str(number)))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=tuple(files.values()),
        env=environment(os.environ),
        process_group=0,
    )


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The child's environment."""
    return {name: value for name, value in ours.items() if name not in NOT_FOR_CHILDREN}
