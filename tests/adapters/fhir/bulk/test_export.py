"""What servers do with exports, one quirk each: a server over a real socket that answers what a test wrote down."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from threading import Event, Timer
from typing import Any

import pytest

from adapters.base import AdapterError, Batch, Fetch, Filtered, Item, Unmappable
from adapters.fhir.bulk import job
from adapters.fhir.bulk.adapter import FAILURES, BulkAdapter
from store.preference import PatientStatements
from tests.adapters.fhir.made import ReadBulk, patient, settings
from tests.adapters.fhir.server import Answer, Scripted, serving

TIME = "2026-11-01T10:00:00.123Z"
KICK_OFF = "Patient/$export?"


def manifest(server: Scripted, *names: str, part: str = "output", **others: Any) -> dict[str, Any]:
    """A manifest of files at the server's own address; a name with a slash in it is an address already."""
    files = [{"type": "Patient", "url": name if "/" in name else f"{server.base_url}/{name}"} for name in names]
    return {"transactionTime": TIME, "requiresAccessToken": True, "output": [], part: files, **others}


def answered(body: Any, status: int = 200, **headers: str) -> Answer:
    made = body if isinstance(body, bytes) else json.dumps(body).encode()
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, made


def ndjson(*names: str) -> bytes:
    return b"".join(json.dumps(patient(id=name)).encode() + b"\n" for name in names)


def failing(*codes: str) -> bytes:
    return json.dumps({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code} for code in codes]}).encode()


Page = Answer | Callable[[Scripted], Answer] | list[Answer]


@contextmanager
def exporting(pages: dict[str, Page]) -> Iterator[Scripted]:
    """A server that takes an export; ``pages`` answer below its address. A list is answered one after the other, the last for ever."""

    def script(server: Scripted, place: str) -> Answer:
        page = pages.get(place.partition("?")[0], pages.get(place))
        if isinstance(page, list):
            return page.pop(0) if len(page) > 1 else page[0]
        if page is not None:
            return page(server) if callable(page) else page
        if place.startswith(KICK_OFF):
            return answered(b"", 202, Content_Location=f"{server.base_url}/status")
        return 404, {}, b""

    with serving(script) as server:
        yield server


def adapter(server: Scripted, **options: Any) -> BulkAdapter:
    auth = {"kind": "bearer", "token": "secret"}
    return ReadBulk(settings(adapter="fhir.bulk", options={"base_url": server.base_url, "auth": auth, **options}), sleep=lambda _: None)


def read(server: Scripted, cursor: str | None = None, **options: Any) -> tuple[list[Item], list[Batch]]:
    batches = list(adapter(server, **options).fetch(Fetch(cursor=cursor)))
    return [item for batch in batches for item in batch.items], batches


def names(items: list[Item]) -> list[str]:
    return [item.evidence_id.split("/")[1] for item in items if isinstance(item, PatientStatements)]


def end(batches: list[Batch]) -> job.BulkState:
    return job.read(next(batch.cursor for batch in reversed(batches) if batch.cursor))


def test_it_asks_as_the_standard_says() -> None:
    with exporting({"status": lambda server: answered(manifest(server))}) as server:
        _, batches = read(server, export={"parameters": {"_elements": "telecom"}})
        read(server, end(batches).text())
    first, second = (asked for asked in server.asked if "$export" in asked)
    assert first == "/fhir/Patient/$export?_outputFormat=application%2Ffhir%2Bndjson&_type=Patient&_elements=telecom"
    assert second.endswith("&_since=2026-11-01T09%3A55%3A00.123Z"), "the transactionTime, less the overlap"


def test_it_asks_for_an_export_with_the_standards_one_type() -> None:
    with exporting({"status": lambda server: answered(manifest(server))}) as server:
        read(server)
    kicked_off = [accept for asked, accept in zip(server.asked, server.accepts, strict=True) if "$export" in asked]
    assert kicked_off == ["application/fhir+json"], "some servers compare the whole header"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_kick_off_that_is_sent_on_within_the_server_is_followed_with_its_question(status: int) -> None:
    def moved(server: Scripted) -> Answer:
        return status, {"Location": server.asked[-1].replace("Patient/$export", "v2/Patient/$export")}, b""

    taken: Page = lambda server: answered(b"", 202, Content_Location="status")  # noqa: E731 - relative to where it was taken
    with exporting({"Patient/$export": moved, "v2/Patient/$export": taken, "v2/Patient/status": answered({"output": []})}) as server:
        read(server)
    first, second = (asked.partition("?") for asked in server.asked if "$export" in asked)
    assert (first[2], second[0]) == (second[2], "/fhir/v2/Patient/$export")


@pytest.mark.parametrize("location", ["https://elsewhere.example/fhir/Patient/$export", "//elsewhere.example/x", "http://127.0.0.1:1/x"])
def test_a_kick_off_that_is_sent_to_another_server_is_not_followed(location: str) -> None:
    with (
        exporting({"Patient/$export": (307, {"Location": location}, b"")}) as server,
        pytest.raises(AdapterError, match="different origin"),
    ):
        read(server)


def test_a_kick_off_that_is_sent_in_a_circle_ends() -> None:
    round_and_round: Page = lambda server: (307, {"Location": server.asked[-1]}, b"")  # noqa: E731
    with exporting({"Patient/$export": round_and_round}) as server, pytest.raises(AdapterError, match="too many redirects"):
        read(server)


def test_what_is_posted_goes_on_by_307_and_308_only() -> None:
    pages: dict[str, Page] = {"a": (307, {"Location": "/fhir/b"}, b""), "b": (308, {"Location": "/fhir/c"}, b""), "c": answered({}, 202)}
    pages |= {"d": (302, {"Location": "/fhir/c"}, b"")}
    with exporting(pages) as server, closing(adapter(server).rest.client()) as client:
        assert client.ask("POST", f"{server.base_url}/a", {}, b"who").status == 202
        assert server.bodies == [b"who"] * 3
        assert client.ask("POST", f"{server.base_url}/d", {}, b"who").status == 302


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (answered(b"<html>p1</html>", 503, Retry_After="7200"), r"503 \(an HTML page\); it asked to wait 7200 s"),
        (answered(b"<?xml version='1.0'?><Error/>", 400), r"400 \(XML\)"),
        (answered(failing("throttled"), 400), r"400 \(error: throttled\)"),
        (answered(b"", 200), "200"),
    ],
)
def test_a_kick_off_that_fails_tells_what_came(answer: Answer, told: str) -> None:
    with exporting({"Patient/$export": answer}) as server, pytest.raises(AdapterError, match=told):
        read(server)


def test_a_status_that_is_no_manifest_tells_what_came() -> None:
    with (
        exporting({"status": answered(b"<html>p1</html>")}) as server,
        pytest.raises(AdapterError, match="an HTML page instead of a manifest"),
    ):
        read(server)


def test_a_manifest_whose_parts_never_end_is_left_with_a_reason() -> None:
    def part(server: Scripted) -> Answer:
        return answered({"output": [], "link": [{"relation": "next", "url": f"{server.base_url}/more?{len(server.asked)}"}]})

    with exporting({"status": part, "more": part}) as server, pytest.raises(AdapterError, match="50 consecutive parts") as error:
        read(server)
    assert len(server.asked) < 60
    assert not error.value.permanent


def test_a_manifest_with_a_byte_order_mark_is_read() -> None:
    with exporting({"status": answered(b"\xef\xbb\xbf" + json.dumps({"output": []}).encode())}) as server:
        read(server)


@pytest.mark.parametrize(("header", "seconds"), [("7200", 7200.0), ("999999", 86_400.0), ("soon", 1.0), (None, 1.0)])
def test_the_server_says_when_to_come_back(header: str | None, seconds: float) -> None:
    later = answered(b"", 202, **({"Retry_After": header} if header else {}), X_Progress="about 40.5% of 1200")
    with exporting({"status": [later, answered({"output": []})]}) as server:
        _, batches = read(server)
    wait = next(batch.wait for batch in batches if batch.wait and batch.wait.seconds)
    assert (wait.seconds, wait.what) == (seconds, "the server is preparing the export (40%)")


def test_a_date_to_come_back_at() -> None:
    later = answered(b"", 202, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT")
    with exporting({"status": [later, answered({"output": []})]}) as server:
        _, batches = read(server)
    assert max(batch.wait.seconds for batch in batches if batch.wait) == 86_400


def test_progress_that_is_no_percentage_is_not_repeated() -> None:
    with exporting({"status": [answered(b"", 202, X_Progress="reading Invented Person"), answered({"output": []})]}) as server:
        _, batches = read(server)
    assert {batch.wait.what for batch in batches if batch.wait} == {"the server is preparing the export"}


def test_polling_too_often_is_a_wait() -> None:
    with exporting({"status": [answered(b"", 429, Retry_After="9"), answered({"output": []})]}) as server:
        _, batches = read(server)
    assert 9.0 in {batch.wait.seconds for batch in batches if batch.wait}


@pytest.mark.parametrize("body", [b"", failing("transient"), b"<html>"])
def test_a_status_that_fails_in_passing_is_asked_again(body: bytes) -> None:
    with exporting({"status": [answered(body, 504), answered(body, 500), answered({"output": []})]}) as server:
        read(server)


def test_a_status_that_keeps_failing_fails_the_run_and_keeps_the_export() -> None:
    cursors: list[str] = []
    with exporting({"status": answered(b"", 500)}) as server:
        with pytest.raises(AdapterError, match="does not report the progress") as caught:
            cursors.extend(batch.cursor for batch in adapter(server).fetch(Fetch()) if batch.cursor)
        assert sum("status" in asked for asked in server.asked) == FAILURES
    assert not caught.value.permanent
    assert job.read(cursors[-1]).job is not None


def test_an_export_that_failed_is_asked_for_anew() -> None:
    cursors: list[str] = []
    with exporting({"status": answered(failing("exception"), 500)}) as server, pytest.raises(AdapterError, match="requested again"):
        cursors.extend(batch.cursor for batch in adapter(server).fetch(Fetch()) if batch.cursor)
    assert job.read(cursors[-1]).job is None


def test_an_export_that_takes_too_long_is_dropped() -> None:
    with exporting({"status": answered(b"", 202)}) as server:
        first = next(iter(adapter(server).fetch(Fetch())))
        old = job.read(first.cursor).with_job(asked="2020-01-01T00:00:00+00:00")
        with pytest.raises(AdapterError, match="give_up_after"):
            read(server, old.text())


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        (answered(b"", 404), True),
        (answered(b"", 403), True),
        (answered(b"", 202), True),
        (answered(failing("invalid"), 400), True),
        (answered(failing("throttled"), 400), False),
        (answered(b"", 503), False),
    ],
)
def test_a_kick_off_that_is_refused(answer: Answer, permanent: bool) -> None:
    with exporting({KICK_OFF.rstrip("?"): answer}) as server, pytest.raises(AdapterError) as caught:
        read(server)
    assert caught.value.permanent is permanent


def test_a_manifest_in_parts_is_read_whole_when_all_of_it_is_ready() -> None:
    pages: dict[str, Page] = {
        "status": lambda server: answered(manifest(server, "1", link=[{"relation": "next", "url": f"{server.base_url}/part2"}])),
        "part2": [answered(b"", 202, Retry_After="0"), answered({"output": [{"type": "Patient", "url": "2"}], "transactionTime": "later"})],
        "1": answered(ndjson("a")),
        "2": answered(ndjson("b")),
    }
    with exporting(pages) as server:
        items, batches = read(server)
    assert names(items) == ["a", "b"]
    assert end(batches).since == TIME


def test_parts_that_go_in_a_circle_fail_the_run() -> None:
    around = {"status": lambda server: answered(manifest(server, link=[{"relation": "next", "url": f"{server.base_url}/status"}]))}
    with exporting(around) as server, pytest.raises(AdapterError, match="loop"):
        read(server)


@pytest.mark.parametrize("body", [b"no json", b"{}", b'{"output": "x"}', b"[]"])
def test_a_manifest_that_is_none_fails_the_run(body: bytes) -> None:
    with exporting({"status": answered(body)}) as server, pytest.raises(AdapterError, match="manifest"):
        read(server)


def test_a_time_that_cannot_be_read_does_not_move_the_cursor() -> None:
    with exporting({"status": lambda server: answered(manifest(server, transactionTime="yesterday"))}) as server:
        _, batches = read(server)
    assert end(batches).since == ""


def test_a_file_may_be_gzipped_and_have_empty_lines_and_odd_ends() -> None:
    pages: dict[str, Page] = {
        "status": lambda server: answered(manifest(server, "1", "2")),
        "1": answered(gzip.compress(ndjson("a") + b"\r\n\n" + ndjson("b").rstrip())),
        "2": answered(gzip.compress(ndjson("c")), Content_Encoding="gzip"),
    }
    with exporting(pages) as server:
        assert names(read(server)[0]) == ["a", "b", "c"]


def test_a_bad_line_is_one_rejection_and_the_others_are_read() -> None:
    pages: dict[str, Page] = {
        "status": lambda server: answered(manifest(server, "1")),
        "1": answered(ndjson("a") + b'{"resourceType": "Pat\n' + ndjson("b")),
    }
    with exporting(pages) as server:
        items, batches = read(server)
    assert names(items) == ["a", "b"]
    assert [(one.reason, one.locator) for one in items if isinstance(one, Unmappable)] == [("not_json", "Patient.1.ndjson:2")]
    assert end(batches).since == TIME, "what cannot be read stays so: it is kept, and does not hold the others back"


def test_types_that_nothing_is_read_from_are_not_fetched() -> None:
    files = [{"type": kind, "url": kind} for kind in ("Observation", "Patient", "Condition")]
    with exporting({"status": answered({"output": files}), "Patient": answered(ndjson("a"))}) as server:
        assert names(read(server)[0]) == ["a"]
    assert not any("Observation" in asked or "Condition" in asked for asked in server.asked)


def test_a_short_file_is_fetched_again_before_it_counts_as_short() -> None:
    pages: dict[str, Page] = {
        "status": answered({"transactionTime": TIME, "output": [{"type": "Patient", "url": "1", "count": 2}]}),
        "1": [answered(ndjson("a")), answered(ndjson("a", "b"))],
    }
    with exporting(pages) as server:
        items, batches = read(server)
    assert (names(items), len(items), end(batches).since) == (["a", "b"], 2, TIME)


def test_a_run_that_is_stopped_does_not_wait_for_the_files_under_way() -> None:
    """The second file never ends; the first is stored, then somebody stops the run."""
    released = Event()

    def endless(server: Scripted) -> Answer:
        released.wait(30)
        return answered(ndjson("b") * 50_000)

    pages: dict[str, Page] = {
        "status": lambda server: answered(manifest(server, "1", "2")),
        "1": answered(ndjson(*(f"p{number}" for number in range(1_000)))),
        "2": endless,
    }
    with exporting(pages) as server:
        batches = adapter(server).fetch(Fetch())
        assert isinstance(batches, Generator)
        while not next(batches).items:
            pass
        Timer(0.05, released.set).start()
        batches.close()
    assert released.is_set()


def test_a_token_follows_no_redirect_to_storage() -> None:
    with serving(lambda server, place: answered(ndjson("a"))) as storage:
        moved = (307, {"Location": f"{storage.root}/signed?key=1"}, b"")
        with exporting({"status": lambda server: answered(manifest(server, "1")), "1": moved}) as server:
            assert names(read(server)[0]) == ["a"]
        assert storage.tokens == [None]
        assert server.tokens[-1] == "Bearer secret"


@pytest.mark.parametrize(("origins", "token"), [(False, None), (True, "Bearer secret")])
def test_files_elsewhere_get_the_token_only_where_the_site_says_so(origins: bool, token: str | None) -> None:
    with serving(lambda server, place: answered(ndjson("a"))) as storage:
        with exporting({"status": lambda server: answered(manifest(server, f"{storage.root}/1"))}) as server:
            read(server, export={"file_origins": [storage.root]} if origins else {})
        assert storage.tokens == [token]


def test_a_file_that_needs_no_token_gets_none() -> None:
    open_files = {"status": lambda server: answered(manifest(server, "1", requiresAccessToken=False)), "1": answered(ndjson("a"))}
    with exporting(open_files) as server:
        read(server)
    assert [token for asked, token in zip(server.asked, server.tokens, strict=True) if asked.endswith("/1")] == [None]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_gone_means_a_new_export(status: int) -> None:
    pages: dict[str, Page] = {"status": lambda server: answered(manifest(server, "1")), "1": (status, {}, b"")}
    with exporting(pages) as server, pytest.raises(AdapterError, match="gone") as caught:
        read(server)
    assert not caught.value.permanent


def test_outcomes_that_are_no_errors_hold_nothing_back() -> None:
    told = json.dumps({"resourceType": "OperationOutcome", "issue": [{"severity": "information", "code": "informational"}]}).encode()
    pages: dict[str, Page] = {"status": lambda server: answered(manifest(server, "o", part="error")), "o": answered(told)}
    with exporting(pages) as server:
        items, batches = read(server)
    assert [one.reason for one in items if isinstance(one, Filtered)] == ["export_outcome"]
    assert end(batches).since == TIME


def test_a_deleted_consent_that_may_have_permitted_is_shown_to_a_person() -> None:
    gone = [{"request": {"method": "DELETE", "url": url}} for url in ("Patient/p1", "Consent/c1", "Observation/o1")]
    line = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": gone}).encode()
    pages: dict[str, Page] = {"status": lambda server: answered(manifest(server, "d", part="deleted")), "d": answered(line)}
    with exporting(pages) as server:
        items, _ = read(server, consent={"attribute": "consent.sms"})
    assert [item.reason for item in items if isinstance(item, Filtered | Unmappable)] == [
        "patient_deleted",
        "record_deleted",
        "resource_not_used",
    ]
    assert not any(isinstance(item, PatientStatements) for item in items)


def test_a_consent_permits_nothing_where_nobody_can_say_what_else_refuses() -> None:
    permit = {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "patient": {"reference": "Patient/p1"},
        "provision": {"type": "permit"},
    }
    pages: dict[str, Page] = {
        "status": answered({"transactionTime": TIME, "output": [{"type": "Consent", "url": "c"}]}),
        "c": answered(json.dumps(permit).encode()),
        "Consent": (404, {}, b""),
    }
    with exporting(pages) as server:
        items, _ = read(server, consent={"attribute": "consent.sms", "choose": "most_restrictive"})
    assert [getattr(item, "reason", "said") for item in items] == ["not_confirmed"]


@pytest.mark.parametrize("failure", [429, 500, 503])
def test_a_failure_that_passes_while_a_permission_is_confirmed_is_tried_again_by_the_next_read(failure: int) -> None:
    """Neither is anything permitted unasked, nor is the permission forgotten."""
    permit = {"resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"}}
    permit |= {"provision": {"type": "permit"}}
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": permit}]}
    away = [(failure, {"Retry-After": "0"}, b"")] * 50
    pages: dict[str, Page] = {
        "status": answered({"transactionTime": TIME, "output": [{"type": "Consent", "url": "c"}]}),
        "c": answered(json.dumps(permit).encode()),
        "Consent": list(away),
    }
    with exporting(pages) as server:
        made, came = adapter(server, consent={"attribute": "consent.sms", "choose": "most_restrictive"}), list[Batch]()
        with pytest.raises(AdapterError) as caught:
            came.extend(made.fetch(Fetch()))
        assert (caught.value.permanent, [batch.items for batch in came if batch.items]) == (False, [])
        pages["Consent"] = answered(bundle)
        items = [item for batch in made.fetch(Fetch(cursor=end(came).text())) for item in batch.items]
    (item,) = items
    assert isinstance(item, PatientStatements)
    assert item.statements["consent.sms"].value == "granted"


def test_a_cursor_of_another_kind_of_source_means_everything() -> None:
    with exporting({"status": lambda server: answered(manifest(server))}) as server:
        read(server, "2026-11-01T00:00:00+00:00")
    assert not any("_since" in asked for asked in server.asked)


def test_no_address_and_no_body_stands_in_an_error() -> None:
    secret = failing("exception").replace(b'"error"', b'"error", "diagnostics": "Invented Person 217-555-0123"')
    with exporting({"status": answered(secret, 500)}) as server, pytest.raises(AdapterError) as caught:
        read(server)
    assert "Invented" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_fat_lines_come_a_few_at_a_time() -> None:
    fat = b"".join(json.dumps(patient(id=f"p{number}", text={"div": "x" * 3_000_000})).encode() + b"\n" for number in range(7))
    with exporting({"status": lambda server: answered(manifest(server, "one")), "one": answered(fat)}) as server:
        items, batches = read(server)
    assert len(names(items)) == 7
    assert [len(batch.items) for batch in batches if batch.items] == [3, 3, 1]
