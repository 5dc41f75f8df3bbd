"""A JSON API over a real socket: pages, what changed since, faults. Every answer is written down by the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from adapters.base import AdapterError, Fetch
from adapters.rest.rest import JsonAdapter
from store.preference import PatientStatements
from tests.adapters.rest.made import settings

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DATE = "Sun, 01 Nov 2026 12:00:00 GMT"
LIST = {"path": "patients", "items": "results", "next": "next", "limit": "limit", "since": "changed_after", "one": "patients/{id}"}

Reply = tuple[int, dict[str, str], Any]


class Api:
    """``replies`` are given in order; the last one again and again. ``asked`` are the requests, ``sent`` their Authorization."""

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.address = list(replies), "https://ehr.example"
        self.asked: list[str] = []
        self.sent: list[str | None] = []
        self.slept: list[float] = []

    def adapter(self, **options: Any) -> JsonAdapter:
        own = {"base_url": f"{self.address}/api", "list": LIST, "page_size": 2}
        return JsonAdapter(settings(**(own | options)), clock=lambda: NOW, sleep=self.slept.append)


def page(*ids: int, next_url: str | None = None) -> Reply:
    return 200, {}, {"results": [{"id": one, "cell": f"217-555-01{one:02d}"} for one in ids], "next": next_url}


@contextmanager
def answering(*replies: Reply) -> Iterator[Api]:
    api = Api(*replies)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    server.daemon_threads = True
    api.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    api: Api

    def do_GET(self) -> None:
        self.api.asked.append(self.path.removeprefix("/api/"))
        self.api.sent.append(self.headers.get("Authorization"))
        status, headers, answer = self.api.replies.pop(0) if len(self.api.replies) > 1 else self.api.replies[0]
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def date_time_string(self, timestamp: float | None = None) -> str:
        return DATE

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def ids(adapter: JsonAdapter, request: Fetch | None = None) -> list[list[str]]:
    batches = adapter.fetch(request or Fetch())
    return [[item.identifiers[-1].value for item in batch.items if isinstance(item, PatientStatements)] for batch in batches]


def test_links_are_followed_to_the_end_and_the_cursor_comes_last() -> None:
    with answering(page(1, 2, next_url="/api/patients?cursor=x"), page(3)) as api:
        batches = list(api.adapter().fetch(Fetch()))
        assert [len(batch.items) for batch in batches] == [2, 1]
        assert [batch.cursor for batch in batches] == [None, NOW.isoformat()]
        assert api.asked == ["patients?limit=2", "patients?cursor=x"]
        assert json.loads(batches[1].payloads[0]) == {"id": 3, "cell": "217-555-0103"}


@pytest.mark.parametrize(
    ("format_", "asked"), [("utc", "2026-11-01T11%3A55%3A00Z"), ("local", "2026-11-01T05%3A55%3A00"), ("date", "2026-11-01")]
)
def test_what_changed_since_the_cursor_is_asked_for_in_the_apis_own_words(format_: str, asked: str) -> None:
    with answering(page()) as api:
        ids(api.adapter(list=LIST | {"since_format": format_}), Fetch(cursor=NOW.isoformat()))
        assert api.asked == [f"patients?limit=2&changed_after={asked}"]


@pytest.mark.parametrize("request_", [Fetch(), Fetch(cursor="of another kind"), Fetch(cursor=NOW.isoformat(), full=True)])
def test_without_a_time_everything_is_read(request_: Fetch) -> None:
    with answering(page()) as api:
        ids(api.adapter(), request_)
        assert api.asked == ["patients?limit=2"]


def test_a_time_that_somebody_names_counts_as_it_is() -> None:
    with answering(page()) as api:
        ids(api.adapter(), Fetch(cursor="x", since=NOW - timedelta(days=1)))
        assert "2026-10-31T12" in api.asked[0]


OFFSET = {"path": "patients", "items": "results", "limit": "limit", "offset": "offset"}


def test_a_server_that_counts_is_asked_until_a_page_is_short() -> None:
    with answering(page(1, 2), page(3, 4), page(5)) as api:
        assert ids(api.adapter(list=OFFSET)) == [["1", "2"], ["3", "4"], ["5"]]
        assert api.asked == ["patients?limit=2", "patients?limit=2&offset=2", "patients?limit=2&offset=4"]


@pytest.mark.parametrize("last", [page(), page(5)])
def test_a_server_that_gives_smaller_pages_than_asked_for_is_read_to_its_end(last: Reply) -> None:
    with answering(page(1, 2), page(3, 4), last) as api:
        found = ids(api.adapter(list=OFFSET, page_size=100))
    assert [name for names in found for name in names] == ["1", "2", "3", "4", "5"][: 4 + len(last[2]["results"])]
    assert len(api.asked) == 3


def test_an_empty_list_is_asked_for_once() -> None:
    with answering(page()) as api:
        assert ids(api.adapter(list=OFFSET)) == [[]]
        assert len(api.asked) == 1


def test_a_server_that_does_not_count_is_not_asked_for_ever() -> None:
    with answering(page(1, 2, 3)) as api:
        batches = list(api.adapter(list=OFFSET).fetch(Fetch()))
        assert len(api.asked) == 2
        assert batches[-1].cursor == NOW.isoformat()


def test_links_in_a_circle_fail_the_run() -> None:
    with answering(page(1, next_url="/api/patients?cursor=x")) as api, pytest.raises(AdapterError, match="form a loop") as error:
        ids(api.adapter())
    assert not error.value.permanent


def test_a_page_that_is_not_there_fails_the_run_and_moves_no_cursor() -> None:
    with answering(page(1, next_url="/api/patients?cursor=x"), (404, {}, {})) as api:
        reading = api.adapter().fetch(Fetch())
        assert next(reading).cursor is None
        with pytest.raises(AdapterError, match="next page of a list was not found"):
            next(reading)


@pytest.mark.parametrize("link", ["https://elsewhere.example/api", "//elsewhere.example/"])
def test_a_link_to_another_origin_is_refused(link: str) -> None:
    with answering(page(1, next_url=link)) as api, pytest.raises(AdapterError, match="different origin"):
        ids(api.adapter(auth={"kind": "bearer", "token": "t"}))
    assert api.sent == ["Bearer t"]


def test_a_redirect_to_another_origin_is_refused_and_one_at_home_followed() -> None:
    with answering((307, {"Location": "/api/moved"}, {}), page(1)) as api:
        assert ids(api.adapter()) == [["1"]]
    with answering((307, {"Location": "https://elsewhere.example/"}, {})) as api, pytest.raises(AdapterError, match="different origin"):
        ids(api.adapter())
    with answering((307, {"Location": "/api/patients"}, {})) as api, pytest.raises(AdapterError, match="too many redirects"):
        ids(api.adapter())


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_fault_that_passes_is_waited_for(status: int) -> None:
    with answering((status, {}, {}), page(1)) as api:
        assert ids(api.adapter()) == [["1"]]
        assert len(api.slept) == 1


def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    with answering((429, {"Retry-After": "17"}, {}), (503, {"Retry-After": "Sun, 01 Nov 2026 12:00:20 GMT"}, {}), page(1)) as api:
        assert ids(api.adapter()) == [["1"]]
        assert api.slept == [17.0, 20.0]


def test_a_long_pause_ends_the_run_and_is_left_to_the_engine() -> None:
    with answering((429, {"Retry-After": "7200"}, {})) as api, pytest.raises(AdapterError) as error:
        ids(api.adapter())
    assert (error.value.permanent, error.value.retry_after, api.slept) == (False, 7200.0, [])


def test_a_fault_that_does_not_pass_fails_the_run() -> None:
    with answering((500, {}, {"secret": "MRN10001"})) as api, pytest.raises(AdapterError) as error:
        ids(api.adapter())
    assert (error.value.permanent, str(error.value), len(api.asked)) == (False, "the server returned 500", 4)


@pytest.mark.parametrize(
    ("reply", "permanent", "words"),
    [
        ((401, {}, {}), True, "access denied"),
        ((403, {}, {}), True, "access denied"),
        ((400, {}, {}), True, "rejected the request"),
        ((404, {}, {}), True, "list was not found"),
        ((200, {}, b"<html>"), False, "response cannot be used"),
        ((200, {}, {"patients": []}), True, "has no list at results"),
        ((200, {}, []), True, "has no list at results"),
        ((200, {}, {"results": None}), True, "has no list at results"),
    ],
)
def test_an_answer_that_cannot_be_used_never_passes_for_an_empty_list(reply: Reply, permanent: bool, words: str) -> None:
    with answering(reply) as api, pytest.raises(AdapterError, match=words) as error:
        ids(api.adapter())
    assert error.value.permanent is permanent


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ((200, {}, b"<html>p1</html>"), "cannot be used: an HTML page"),
        ((200, {}, b"<?xml version='1.0'?><a/>"), "cannot be used: XML"),
        ((200, {}, b"[" * 100_000), "cannot be used: truncated or invalid JSON"),
        ((503, {"Retry-After": "7200"}, b"<html>p1</html>"), "the server returned 503 (an HTML page); it asked to wait 7200 s"),
        ((400, {}, b"p1 is unknown"), "the server returned 400 (text that is not JSON): it rejected"),
        ((403, {}, {"patient": "p1"}), "the server returned 403: access denied"),
    ],
)
def test_an_error_tells_what_came_and_quotes_nothing(reply: Reply, told: str) -> None:
    with answering(reply) as api, pytest.raises(AdapterError) as error:
        ids(api.adapter())
    assert told in str(error.value)
    assert "p1" not in str(error.value)


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        ("results", {"results": []}),
        ("data.rows", {"data": {"rows": []}}),
        ("data.rows", {"data": {}}),
        ("a.b.c", {"a": {"b": {"c": []}}}),
    ],
)
def test_an_empty_list_is_no_fault_wherever_it_stands(items: str, answer: Any) -> None:
    with answering((200, {}, answer)) as api:
        (batch,) = api.adapter(list=LIST | {"items": items}).fetch(Fetch(cursor=NOW.isoformat()))
        assert (list(batch.items), batch.cursor) == ([], NOW.isoformat())


def test_a_key_in_a_header_of_the_apis_own_is_sent() -> None:
    with answering(page(1)) as api:
        assert ids(api.adapter(auth={"kind": "header", "header": "Authorization", "token": "Key k1"})) == [["1"]]
        assert api.sent == ["Key k1"]


def test_a_busy_token_endpoint_is_waited_out() -> None:
    with answering((503, {"Retry-After": "3"}, {}), (200, {}, {"access_token": "t1"}), page(1)) as api:
        auth = {"kind": "oauth2", "token_url": f"{api.address}/token", "client_id": "us", "client_secret": "s3cret"}
        assert ids(api.adapter(auth=auth)) == [["1"]]
        assert (api.asked, api.sent[-1], api.slept) == (["/token", "/token", "patients?limit=2"], "Bearer t1", [3.0])


def test_a_check_tells_that_the_token_endpoint_is_not_there() -> None:
    auth = {"kind": "oauth2", "token_url": "http://127.0.0.1:1/token", "client_id": "us", "client_secret": "s3cret"}
    with answering(page(1)) as api:
        (finding,) = api.adapter(auth=auth).check()
    assert (finding.ok, finding.detail) == (False, "the token endpoint could not be reached (ConnectionError)")


def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    with answering(page(1)) as api:
        adapter = api.adapter()
    with pytest.raises(AdapterError, match="could not be reached") as error:
        ids(adapter)
    assert not error.value.permanent
    assert api.address not in str(error.value)


@pytest.mark.parametrize("answer", [{"id": 3}, [{"id": 3}], {"results": [{"id": 3}]}])
def test_one_patient_comes_as_itself_or_in_a_list(answer: Any) -> None:
    with answering((200, {}, answer)) as api:
        assert ids(api.adapter(), Fetch(patient="a/3")) == [["3"]]
        assert ids(api.adapter(), Fetch(patient="GENHOSP|3")) == [["3"]]
        assert api.asked == ["patients/a%2F3", "patients/3"]


def test_one_patient_who_is_not_there_is_nobody() -> None:
    with answering((404, {}, {})) as api:
        assert ids(api.adapter(), Fetch(patient="3")) == []


def test_a_source_without_a_way_to_one_patient_says_so() -> None:
    with answering(page()) as api, pytest.raises(AdapterError, match=r"list\.one"):
        ids(api.adapter(list=OFFSET), Fetch(patient="3"))


def test_requests_are_spaced_as_the_budget_says() -> None:
    with answering(page(1, next_url="/api/patients?cursor=x"), page(2)) as api:
        ids(api.adapter(budget={"requests_per_minute": 60}))
    assert api.slept == [1.0]


def test_nothing_is_asked_in_quiet_hours_but_one_patient() -> None:
    with answering(page(1)) as api:
        adapter = api.adapter(budget={"quiet_hours": ["06:00-07:00"]})  # NOW is 06:00 in Chicago
        first = next(adapter.fetch(Fetch()))
        assert first.wait is not None
        assert (first.wait.seconds, api.asked) == (3600.0, [])
        assert ids(adapter, Fetch(patient="1")) == [["1"]]


def test_check_reads_one_record_and_says_what_it_states() -> None:
    with answering(page(1)) as api:
        findings = list(api.adapter().check())
    assert [one.ok for one in findings] == [True, True, True]
    assert "changed_after" in findings[1].detail
    assert "phones" in findings[2].detail


@pytest.mark.parametrize(
    ("reply", "words"), [(page(), "is empty"), ((403, {}, {}), "access denied"), ((200, {}, {"results": [{}]}), "patient_id")]
)
def test_check_names_what_is_wrong(reply: Reply, words: str) -> None:
    with answering(reply) as api:
        last = list(api.adapter().check())[-1]
    assert not last.ok
    assert words in last.detail


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_url": "ehr.example"}, "base_url"),
        ({"list": {}}, r"list\.path"),
        ({"budget": {"quiet_hours": ["noon"]}}, "quiet_hours"),
        ({"auth": {"kind": "magic"}}, r"auth\.kind is 'magic'"),
        ({"auth": {"kind": "bearer"}}, r"auth\.token"),
        ({"auth": {"kind": "header", "token": "k1"}}, r"auth\.header is missing"),
        ({"auth": {"kind": "header", "header": "X-Api-Key", "token": "k1\r\nX-Other: 1"}}, r"auth\.token"),
        ({"auth": {"kind": "basic", "username": "x"}}, r"auth\.password"),
        ({"auth": {"kind": "oauth2", "token_url": "https://x"}}, r"auth\.client_id"),
    ],
)
def test_a_wrong_setting_says_what_to_mend(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Api().adapter(**options)
