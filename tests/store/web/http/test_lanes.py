"""A service that has stopped has no thread left."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from store.web.http.lanes import Lanes
from tests.store.web.conftest import serve


def test_a_stopped_service_has_ended_the_work_of_all_its_threads(sqlite_url: str) -> None:
    """Otherwise it writes to a database that is closed, over a connection that nobody closes any more."""
    began, stopped = threading.Semaphore(0), threading.Event()
    ended_before: dict[str, bool] = {}

    def work(lane: str) -> None:
        began.release()
        ended_before[lane] = not stopped.wait(0.3)

    with contextmanager(serve)(sqlite_url) as service:
        for name, lane in zip(Lanes._fields, service.lanes, strict=True):
            lane.later(work, name)
        assert all(began.acquire(timeout=20) for _ in Lanes._fields)
    stopped.set()
    service.lanes.close()
    assert ended_before == dict.fromkeys(Lanes._fields, True)
