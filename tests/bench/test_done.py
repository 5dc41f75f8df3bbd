"""No benchmark has a figure for work that was not done: each is given work that does not become what it measures."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.hl7v2.mapping import Hl7Mapper
from bench import api, applying, asks, batch, ingest, intake, single, site
from bench.__main__ import BENCHES, options
from bench.databases import Databases
from bench.done import decisions_in, require, require_decisions
from bench.figure import Figure
from bench.pages import Browsers, PageRequest, Took
from bench.receiver import receiving
from store import times
from store.domain.lock import Role
from tests.store.web.pages.conftest import serve_pages

FEW = 40
SECONDS = 1.0
OTHER_WORK = "this would measure other work"


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    found = Databases(("sqlite",))
    yield found
    found.close()


@pytest.fixture(scope="module")
def server(databases: Databases) -> Iterator[api.Server]:
    """The API with a few patients."""
    with api.answering(databases, "sqlite", FEW) as found:
        yield found


def strangers() -> list[bytes]:
    """Requests about patients whom the store does not have."""
    return [asks.body(number) for number in range(FEW, 2 * FEW)]


def test_a_rate_tells_what_was_done() -> None:
    assert Figure("intake", "new", 1.0, "messages/s", counts={"applied": 3, "rejected": 1}).done == "3 applied, 1 rejected"
    with pytest.raises(ValueError, match="without counts"):
        Figure("intake", "new", 1.0, "messages/s")
    with pytest.raises(ValueError, match="without counts"):
        Figure("intake", "new", 1.0, "messages/s", counts={"applied": 0})


@pytest.mark.parametrize(("counts", "share"), [({"applied": 10}, 1.0), ({"applied": 9, "unchanged": 1}, 0.9)])
def test_work_that_was_done_has_a_figure(counts: dict[str, int], share: float) -> None:
    require(counts, 10, "applied", share)


@pytest.mark.parametrize("counts", [{}, {"rejected": 10}, {"applied": 9, "held": 1}, {"applied": 9}])
def test_work_that_was_not_all_done_has_none(counts: dict[str, int]) -> None:
    with pytest.raises(RuntimeError, match=OTHER_WORK):
        require(counts, 10, "applied")


def test_decisions_have_a_figure_if_every_request_was_decided_and_not_all_alike() -> None:
    require_decisions({"send": 9, "do_not_send": 1}, 10)
    for counts in ({"send": 10}, {"do_not_send": 10}, {"send": 8, "do_not_send": 1}, {"send": 0, "do_not_send": 0}):
        with pytest.raises(RuntimeError, match=OTHER_WORK):
            require_decisions(counts, 10)


def test_decisions_are_counted_in_an_answer() -> None:
    assert decisions_in(b'[{"decision":"send"},{"decision":"do_not_send"},{"decision":"send"}]') == {"send": 2, "do_not_send": 1}
    assert decisions_in(b'{"status":401,"detail":"no key"}') == {}


def test_messages_that_change_nothing_have_no_figure(databases: Databases, tmp_path: Path) -> None:
    with databases.fresh("sqlite") as url, receiving(tmp_path, url, "real") as receiver:
        assert intake._rate(lambda: 0.0, receiver, FEW, 0).counts == {"applied": FEW}
        with pytest.raises(RuntimeError, match="there are 40 unchanged"):
            intake._rate(lambda: 0.0, receiver, FEW, 0)


def test_records_that_change_nothing_have_no_figure(databases: Databases) -> None:
    lines = list(ingest.lines(FEW, 0))
    with databases.fresh("sqlite") as url, pytest.raises(RuntimeError, match="there are 40 unchanged"):
        ingest._Ingesting(url, ingest._Meter(databases, "sqlite")).rates([lines, lines])


def test_statements_that_change_nothing_have_no_figure(databases: Databases) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = site.settings(Path(folder), "sqlite:///unused.db")
    items = applying._items(Hl7Mapper(settings.feeds[site.ADT].settings), FEW, 0)
    again = [replace(one, effective=times.at(one.effective.latest + timedelta(seconds=30)), evidence_id="again") for one in items]
    with pytest.raises(RuntimeError, match="there are 40 unchanged"):
        applying._round(databases, "sqlite", settings.enterprises, (items, again, again))


def test_single_decisions_about_strangers_have_no_figure(server: api.Server) -> None:
    known = single._Clients(server, asks.bodies(FEW), SECONDS).ask()
    assert set(known.counts) == {"send", "do_not_send"}
    with pytest.raises(RuntimeError, match=OTHER_WORK):
        single._Clients(server, strangers(), SECONDS).ask()


def test_a_batch_about_strangers_has_no_figure(server: api.Server) -> None:
    number = batch.TIMES * FEW
    known = batch._ndjson(server, b"\n".join(asks.bodies(FEW)) + b"\n", number)
    assert sum(known.counts.values()) == number
    with pytest.raises(RuntimeError, match=OTHER_WORK):
        batch._ndjson(server, b"\n".join(strangers()) + b"\n", number)


def test_a_page_that_asks_to_sign_in_again_has_no_figure(sqlite_url: str) -> None:
    for pages in serve_pages(sqlite_url):
        name, password = pages.user("staff")
        browsers, took = Browsers(pages.server.socket.getsockname()[1], os.getpid(), {Role.STAFF: password}), Took()
        browsers.sign_in(Role.STAFF, name)
        browsers.measure(PageRequest("patients", Role.STAFF, "/patients"), took)
        assert took.counts == {"HTTP 200": 1}
        browsers.cookies[Role.STAFF] = "session=of-nobody"
        with pytest.raises(RuntimeError, match="HTTP 303 /sign-in"):
            browsers.measure(PageRequest("patients", Role.STAFF, "/patients"), took)
        browsers.connections[Role.STAFF].close()


def test_some_benchmarks_are_chosen_by_name() -> None:
    assert options(["--only", "intake,single", "--only", "starts"]).only == ["intake", "single", "starts"]
    assert options([]).only is None


def test_a_name_that_no_benchmark_has_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(["--only", "intake,singel"])
    assert "'singel'" in (said := capsys.readouterr().err)
    assert all(name in said for name in BENCHES)


def test_a_figure_as_json_has_the_counts_of_a_counter() -> None:
    figure = Figure("mapping", "read", 1.0, "messages/s", counts=Counter(mapped=3))
    assert json.loads(json.dumps(figure.as_json()))["counts"] == {"mapped": 3}
