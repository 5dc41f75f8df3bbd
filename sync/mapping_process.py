"""The process that maps one source's payloads for another process (``sync.mapping_ahead``). Its argument is the connection's number.

It has its settings and payloads over that connection and answers in the order in which it is asked. It ends with the connection, so also
when the other process was killed. Two threads read and answer: then neither process waits for one that waits for it. Payloads are about
patients, so it writes nothing anywhere else.
"""

from __future__ import annotations

import gc
import os
import pickle
import socket
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import IO

from adapters.base import Item, Mapper, Payload, SourceSettings
from adapters.registry import build
from sync.mapped import MapperRelease, release
from sync.pace import slow_down_collector


class OtherRelease(Exception):
    """The program was upgraded after the process that asks had started."""


class MappingProcess:
    """One life of this process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._asked, self._answers = SimpleQueue[list[Payload]](), SimpleQueue[bytes]()

    def work(self) -> None:
        """Maps until the connection ends; then the process ends, too. Raises :class:`OtherRelease`."""
        stream = self._connection.makefile("rb")
        mapper = _mapper(*pickle.load(stream))
        gc.freeze()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()
        threading.Thread(target=self._answer, daemon=True).start()
        while True:
            self._answers.put(pickle.dumps([_items(mapper, one) for one in self._asked.get()], pickle.HIGHEST_PROTOCOL))

    def _read(self, stream: IO[bytes]) -> None:
        with suppress(Exception):
            while True:
                self._asked.put(pickle.load(stream))
        os._exit(0)

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                self._connection.sendall(self._answers.get())
        os._exit(0)


def _mapper(expected: MapperRelease, settings: SourceSettings) -> Mapper:
    mapper = build(settings).mapper
    if release(mapper) != expected:
        raise OtherRelease
    return mapper


def _items(mapper: Mapper, payload: Payload) -> list[Item] | None:
    """``None`` if the mapper fails, perhaps for want of memory or of a file. Then the other process maps the payload itself."""
    try:
        return mapper.read(payload)
    except Exception:
        return None


if __name__ == "__main__":
    slow_down_collector()
    MappingProcess(socket.socket(fileno=int(sys.argv[1]))).work()
