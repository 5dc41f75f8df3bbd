"""The adapter over real sockets: against the rehearsal EMR, and against a server that answers what a test wrote down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.base import AdapterError, Batch, Fetch, Filtered, IncompleteFetch, Unmappable
from adapters.fhir.rest import RestAdapter
from adapters.registry import build
from adapters.rehearsal.emr import RehearsalEmr
from store.preference import PatientStatements
from tests.adapters.fhir.made import ReadRest, patient, settings
from tests.adapters.fhir.server import Answer, Script, Scripted, capability, found, serving

Items = list[Any]


def adapter(emr: RehearsalEmr, slept: list[float] | None = None, **options: Any) -> RestAdapter:
    source = emr.fhir_source(enterprise="e")
    authorities = {alias: name for name, aliases in emr.authorities.items() for alias in aliases}
    joined = {"base_url": source["base_url"], "auth": source["auth"], "page_size": 10, **options}
    waits = [] if slept is None else slept
    return ReadRest(settings(mapping=source["mapping"], options=joined, authorities=authorities), sleep=waits.append)


def plain(server: Scripted, **others: Any) -> RestAdapter:
    return ReadRest(settings(options={"base_url": server.base_url, **others.pop("options", {})}, **others), sleep=lambda _: None)


def items(batches: list[Batch]) -> Items:
    return [item for batch in batches for item in batch.items]


@pytest.fixture
def emr() -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=35, seed=5) as made:
        yield made


def test_registry_builds_the_adapter() -> None:
    assert isinstance(build(settings(options={"base_url": "https://ehr.example/r4"})), RestAdapter)


# Against the rehearsal EMR


def test_first_run_reads_everybody_and_only_its_last_batch_moves_the_cursor(emr: RehearsalEmr) -> None:
    batches = list(adapter(emr).fetch(Fetch()))
    assert [len(batch.items) for batch in batches] == [10, 10, 10, 5]
    assert [batch.cursor is None for batch in batches] == [True, True, True, False]
    assert {batch.total for batch in batches} == {35}
    assert all(len(batch.items) == len(batch.payloads) for batch in batches)
    assert len({item.identifiers[0] for item in items(batches)}) == 35


def test_later_run_reads_what_changed_since_the_cursor(emr: RehearsalEmr) -> None:
    (*_, last) = adapter(emr).fetch(Fetch())
    changed = emr.tick()
    later = items(list(adapter(emr).fetch(Fetch(cursor=last.cursor))))
    assert {item.evidence_id.split("/")[1] for item in later} == {f"rp-{index}" for index in changed}


@pytest.mark.parametrize(("skew", "expected"), [(-50, -50), (50, 0)], ids=["server behind", "server ahead"])
def test_cursor_is_the_servers_time_at_the_start_and_never_beyond_our_own(skew: int, expected: int) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    with RehearsalEmr(patients=25, seed=5, clock=lambda: now + timedelta(seconds=skew)) as emr:
        emr.desk.clock = lambda: datetime.now(UTC)
        made = adapter(emr)
        made.clock = lambda: now
        (*_, last) = made.fetch(Fetch())
    assert datetime.fromisoformat(last.cursor or "") == now + timedelta(seconds=expected)


def test_since_overrides_the_cursor_and_full_ignores_both(emr: RehearsalEmr) -> None:
    cursor = datetime.now(UTC).isoformat()
    long_ago = datetime.now(UTC) - timedelta(days=30)
    assert len(items(list(adapter(emr).fetch(Fetch(cursor=cursor))))) == 0
    assert len(items(list(adapter(emr).fetch(Fetch(cursor=cursor, since=long_ago))))) == 35
    assert len(items(list(adapter(emr).fetch(Fetch(cursor=cursor, full=True))))) == 35


def test_cursor_that_is_not_ours_means_everything(emr: RehearsalEmr) -> None:
    assert len(items(list(adapter(emr).fetch(Fetch(cursor="offset:17"))))) == 35


def test_server_that_cannot_tell_what_changed_is_read_in_full() -> None:
    with RehearsalEmr(patients=35, seed=5, search_by_last_updated=False) as emr:
        cursor = datetime.now(UTC).isoformat()
        assert len(items(list(adapter(emr).fetch(Fetch(cursor=cursor))))) == 35


@pytest.mark.parametrize("which", ["identifier", "id"])
def test_one_patient_is_read_by_identifier_or_id_and_the_cursor_stays(emr: RehearsalEmr, which: str) -> None:
    first = items(list(adapter(emr).fetch(Fetch())))[7]
    wanted = first.identifiers[0 if which == "identifier" else 1].value
    (batch,) = adapter(emr).fetch(Fetch(patient=wanted))
    assert ([item.identifiers for item in batch.items], batch.cursor) == ([first.identifiers], None)


@pytest.mark.parametrize("name", ["nobody", "no/body?x", "https://x.example|1"])
def test_patient_that_nobody_knows_gives_nothing(emr: RehearsalEmr, name: str) -> None:
    assert not items(list(adapter(emr).fetch(Fetch(patient=name))))


def test_refused_token_is_bought_again_in_the_middle_of_a_run(emr: RehearsalEmr) -> None:
    emr.faults.succeed(2)
    emr.faults.unauthorized()
    assert len(items(list(adapter(emr).fetch(Fetch())))) == 35
    assert emr.desk.issued == 2


def test_throttling_cuts_and_errors_are_waited_out(emr: RehearsalEmr) -> None:
    slept: list[float] = []
    emr.faults.throttle(retry_after="7")
    emr.faults.cut()
    emr.faults.succeed()
    emr.faults.fail()
    assert len(items(list(adapter(emr, slept).fetch(Fetch())))) == 35
    assert len(slept) == 3
    assert slept[0] == 7.0


def test_broken_next_link_fails_the_run_and_no_cursor_was_given(emr: RehearsalEmr) -> None:
    emr.faults.break_next_links = True
    seen = []
    with pytest.raises(AdapterError, match="next page") as error:
        seen.extend(adapter(emr).fetch(Fetch()))
    assert not error.value.permanent
    assert all(batch.cursor is None for batch in seen)


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_check_says_what_was_tried(algorithm: str) -> None:
    with RehearsalEmr(patients=3, seed=5, algorithm=algorithm) as emr:
        findings = list(adapter(emr).check())
    assert [(finding.what, finding.ok) for finding in findings] == [
        ("token", True),
        ("capability", True),
        ("plan", True),
        ("budget", True),
        ("sample read", True),
        ("sample shape", True),
    ]


def test_check_stops_at_the_first_failure(emr: RehearsalEmr) -> None:
    auth = {"kind": "smart_backend", "client_id": "somebody else", "private_key": emr.private_key, "alg": "ES384"}
    (finding,) = adapter(emr, auth=auth).check()
    assert (finding.what, finding.ok) == ("token", False)
    assert "invalid_client" in finding.detail


def test_file_goes_through_the_same_mapping(emr: RehearsalEmr, tmp_path: Path) -> None:
    emr.export(tmp_path / "all.ndjson")
    made = adapter(emr)
    read = [item for payload in made.payloads(tmp_path / "all.ndjson") for item in made.mapper.read(payload)]
    assert [item.identifiers for item in read] == [item.identifiers for item in items(list(made.fetch(Fetch())))]


# Against written answers


def answering(**places: Answer) -> Script:
    """Answers by the resource type, or ``metadata``, that is asked for; 404 for the others."""
    return lambda server, place: places.get(place.partition("?")[0].partition("/")[0], (404, {}, b""))


def test_incremental_search_looks_back_over_the_overlap() -> None:
    with serving(answering(metadata=capability("_lastUpdated"), Patient=found())) as server:
        list(plain(server, options={"overlap": "60"}).fetch(Fetch(cursor="2026-11-01T12:00:00+00:00")))
        assert parse_qs(urlsplit(server.asked[-1]).query) == {"_count": ["200"], "_lastUpdated": ["ge2026-11-01T11:59:00.000Z"]}


def test_setting_read_overrides_what_the_server_says() -> None:
    with serving(answering(Patient=found())) as server:
        list(plain(server, options={"read": "incremental"}).fetch(Fetch(cursor="2026-11-01T12:00:00+00:00")))
        assert [place.partition("?")[0] for place in server.asked] == ["/fhir/Patient"]
        assert "_lastUpdated" in server.asked[0]


@pytest.mark.parametrize("answer", [(404, {}, b""), (403, {}, b""), (200, {}, b"<html>"), (200, {}, b'{"resourceType": "Patient"}')])
def test_server_that_tells_nothing_is_read_in_full(answer: Answer) -> None:
    with serving(answering(metadata=answer, Patient=found(patient()))) as server:
        (batch,) = plain(server).fetch(Fetch(cursor="2026-11-01T12:00:00+00:00"))
        assert len(batch.items) == 1
        assert "_lastUpdated" not in server.asked[-1]


def test_sites_own_search_parameters_go_with_patient_only() -> None:
    options = {"search": {"birthdate": "ge1900"}, "consent": {"attribute": "consent.sms"}}
    with serving(answering(metadata=capability(), Patient=found(), Consent=found())) as server:
        list(plain(server, options=options).fetch(Fetch()))
        assert ["birthdate" in place for place in server.asked] == [False, True, False]


def test_consents_and_flags_are_read_after_patients_where_rules_ask_for_them() -> None:
    consent = {"resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"}, "decision": "deny"}
    flag = {"resourceType": "Flag", "id": "f1", "status": "active", "code": {"text": "DNC"}, "subject": {"reference": "Patient/p1"}}
    mapping = {"do_not_contact": {"from": "Flag.code.text", "values": {"DNC": "yes"}}}
    options = {"consent": {"attribute": "consent.sms"}}
    with serving(answering(metadata=capability(), Patient=found(patient()), Consent=found(consent), Flag=found(flag))) as server:
        batches = list(plain(server, options=options, mapping=mapping).fetch(Fetch()))
    said = [[item.evidence_id for item in batch.items if isinstance(item, PatientStatements)] for batch in batches]
    assert said == [["Patient/p1/_history/3"], ["Consent/c1"], ["Flag/f1"]]
    assert [batch.cursor is None for batch in batches] == [True, True, False]


def test_one_patients_consents_come_with_the_patient() -> None:
    consent = {"resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"}, "decision": "deny"}
    with serving(answering(Patient=found(patient()), Consent=found(consent))) as server:
        batches = list(plain(server, options={"consent": {"attribute": "consent.sms"}}).fetch(Fetch(patient="M1")))
        assert server.asked == ["/fhir/Patient?identifier=M1", "/fhir/Consent?patient=p1"]
    assert [batch.cursor for batch in batches] == [None, None]


def test_resource_that_comes_again_on_the_next_page_is_read_once() -> None:
    def script(server: Scripted, place: str) -> Answer:
        if place.startswith("Patient?page"):
            return found(patient(), patient(id="p2"))
        return found(patient(), next_url=f"{server.base_url}/Patient?page=2") if place.startswith("Patient") else capability()

    with serving(script) as server:
        batches = list(plain(server).fetch(Fetch()))
    assert [type(item) for item in items(batches)] == [PatientStatements, Filtered, PatientStatements]


def test_rejected_entry_carries_its_own_bytes_and_the_others_stand() -> None:
    with serving(answering(metadata=capability(), Patient=found({"resourceType": "Patient"}, patient(), total=2))) as server:
        (batch,) = plain(server).fetch(Fetch())
    rejected, kept = batch.items
    assert isinstance(rejected, Unmappable)
    assert isinstance(kept, PatientStatements)
    assert (rejected.locator, rejected.payload, batch.total) == ("Patient/page-1#0", b'{"resourceType": "Patient"}', 2)


def test_every_item_of_one_resource_keeps_its_payload_beside_it() -> None:
    linked = patient(link=[{"type": "replaces", "other": {"reference": "Patient/p2"}}])
    with serving(answering(metadata=capability(), Patient=found(linked))) as server:
        (batch,) = plain(server).fetch(Fetch())
    assert (len(batch.items), len(batch.payloads)) == (2, 2)


def test_token_never_goes_to_another_server() -> None:
    with serving(answering(Patient=found())) as elsewhere, serving(answering()) as server:
        server.script = answering(metadata=capability(), Patient=found(next_url=f"{elsewhere.base_url}/Patient"))
        with pytest.raises(AdapterError, match="different origin"):
            list(plain(server, options={"auth": {"kind": "bearer", "token": "t"}}).fetch(Fetch()))
        assert server.tokens == ["Bearer t", "Bearer t"]
        assert elsewhere.asked == []


def test_server_that_is_not_there_may_be_tried_again() -> None:
    with serving(answering()) as server:
        gone = plain(server)
    with pytest.raises(AdapterError, match="could not be reached") as error:
        list(gone.fetch(Fetch()))
    assert not error.value.permanent


def test_check_names_what_does_not_work() -> None:
    mapping = {"do_not_contact": {"from": "Flag.code.text", "values": {"DNC": "yes"}}}
    sample = patient(identifier="?", telecom=[{"system": "phone", "value": "?"}])
    with serving(answering(metadata=capability(release="5.0.0"), Patient=found(sample))) as server:
        findings = {(finding.what, finding.ok): finding.detail for finding in plain(server, mapping=mapping).check()}
    assert findings["token", True] == "auth.kind none needs no token"
    assert "Flag" in findings["capability", False]
    assert findings["plan", True].startswith("full reads")
    assert "phone_unusable" in findings["sample read", True]
    assert findings["sample shape", True] == "not as FHIR specifies: Patient.identifier"


def test_check_says_when_no_patient_can_be_seen() -> None:
    with serving(answering(Patient=found())) as server:
        findings = list(plain(server).check())
    found_out = [(finding.what, finding.ok) for finding in findings[1:]]
    assert found_out == [("capability", True), ("plan", True), ("budget", True), ("sample read", False)]


@pytest.mark.parametrize("trust_total", [True, False])
def test_a_total_counts_unless_the_site_says_that_it_does_not(trust_total: bool) -> None:
    with serving(answering(metadata=capability(), Patient=found(patient(), total=500))) as server:
        batches: list[Batch] = []
        with nullcontext() if not trust_total else pytest.raises(IncompleteFetch, match="announced 500 Patient records but sent 1"):
            batches.extend(plain(server, options={"trust_total": trust_total}).fetch(Fetch()))
    assert len(batches[0].items) == 1
    assert (batches[-1].cursor is None) == trust_total


@pytest.mark.parametrize("total", [500, "500", 500.0])
def test_a_total_counts_however_it_is_written(total: Any) -> None:
    answers = answering(metadata=capability(), Patient=found(patient(), total=total))
    with serving(answers) as server, pytest.raises(IncompleteFetch, match="announced 500"):
        list(plain(server).fetch(Fetch()))


@pytest.mark.parametrize("total", ["", None, "many", True, -1, 1.5, "9" * 5_000, []])
def test_a_total_that_is_no_number_announces_nothing(total: Any) -> None:
    with serving(answering(metadata=capability(), Patient=found(patient(), total=total))) as server:
        (batch,) = plain(server).fetch(Fetch())
    assert batch.cursor


DENIES = {"resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"}, "decision": "deny"}
FAILED: dict[str, Answer] = {
    "forbidden": (403, {}, b""),
    "error": (500, {}, b""),
    "page": (200, {}, b"<html>"),
    "cut": (200, {}, b'{"resourceType": "Bundle", "entry": [{"res'),
    "short": found(DENIES, total=500),
}


def consents(server: Scripted) -> RestAdapter:
    rule = {"consent.sms": {"from": "Consent.decision", "values": {"deny": "denied", "permit": "granted"}}}
    made = plain(server, mapping=rule, options={"consent": {"category": ["https://x.example|sms"]}, "trust_last_updated": True})
    made.sleep = lambda _: None
    return made


@pytest.mark.parametrize("kind", ["Patient", "Consent"])
@pytest.mark.parametrize("failure", FAILED)
def test_what_one_kind_refuses_is_handed_over_though_another_breaks_off_and_no_cursor_moves(kind: str, failure: str) -> None:
    denies = DENIES | {"category": [{"coding": [{"system": "https://x.example", "code": "sms"}]}]}
    pages = {"Patient": found(patient()), "Consent": found(denies), "metadata": capability("_lastUpdated")}
    with serving(answering(**pages | {kind: FAILED[failure]})) as server:
        batches: list[Batch] = []
        with pytest.raises(AdapterError):
            batches.extend(consents(server).fetch(Fetch()))
    assert [batch.cursor for batch in batches if batch.cursor] == []
    whole = "Patient" if kind == "Consent" else "Consent"
    assert any(whole in item.evidence_id for batch in batches for item in batch.items if isinstance(item, PatientStatements))


@pytest.mark.parametrize("metadata", [(404, {}, b""), (403, {}, b""), (501, {}, b""), (200, {}, b"<html>"), (200, {}, b"")])
def test_check_passes_on_a_server_without_metadata_as_the_sync_does(metadata: Answer) -> None:
    with serving(answering(metadata=metadata, Patient=found(patient()))) as server:
        findings = list(plain(server).check())
        assert [one.detail for one in findings if not one.ok] == []
        assert len([item for batch in plain(server).fetch(Fetch()) for item in batch.items]) == 1
    told = next(one.detail for one in findings if one.what == "capability")
    assert "has no readable" in told


@pytest.mark.parametrize("metadata", [(503, {}, b""), (500, {}, b"")])
def test_check_fails_where_the_sync_does(metadata: Answer) -> None:
    with serving(answering(metadata=metadata, Patient=found(patient()))) as server:
        assert not all(one.ok for one in plain(server).check())
        with pytest.raises(AdapterError, match=str(metadata[0])):
            list(plain(server).fetch(Fetch()))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"base_url": "ehr.example"},
        {"timeout": 0},
        {"auth": {"kind": "magic"}},
    ],
)
def test_wrong_setting_is_named_before_anything_is_opened(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"base_url|timeout|auth\.kind"):
        RestAdapter(settings(options={"base_url": "https://ehr.example", **options} if options else {}))
