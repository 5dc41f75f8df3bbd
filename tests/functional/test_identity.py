"""Strangers do not become one patient (product rule 5.9): every example through the command line and the running service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.reader import read
from store.domain.patient import Patient, PatientRef
from store.errors import StoreError
from sync.commands import cli
from sync.config import load
from sync.service import Service, serving
from tests.adapters.hl7v2.messages import adt

CONFIG = """\
database: {url}
payload_keys: {{current: k, keys: {{k: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}}}}
enterprises:
  hospital:
    sync_contact_preferences: true
    default_region: US
    time_zone: America/Chicago
    linking_authorities: [EMPI]
    placeholder_identifiers: [ASKLATER]
    authorities: {{GENHOSP: ["urn:oid:1.2.36.146.595"]}}
sources:
  adt:
    enterprise: hospital
    adapter: hl7v2.mllp
    listen: 127.0.0.1:0
    patient_id: {{authority: GENHOSP, type: [MR, MRN]}}
    mapping:
      do_not_contact: {{from: ZCP-2, values: {{DNC: yes, OK: no}}}}
      preferred_method: {{from: ZCP-3, values: {{T: sms}}}}
  clinic:
    enterprise: hospital
    adapter: hl7v2.files
    path: {folder}
    patient_id: {{authority: CLINIC, type: MR}}
    mapping:
      do_not_contact: {{from: ZCP-2, values: {{DNC: yes, OK: no}}}}
  plain:
    enterprise: hospital
    adapter: hl7v2.files
    path: {folder}
    mapping:
      do_not_contact: {{from: ZCP-2, values: {{DNC: yes, OK: no}}}}
  records:
    enterprise: hospital
    adapter: fhir.rest
    base_url: https://other.example/r4
    mapping:
      do_not_contact: {{from: "Patient.extension('https://x.example/dnc').valueBoolean", values: {{true: yes, false: no}}}}
  fhir:
    enterprise: hospital
    adapter: fhir.rest
    base_url: https://ehr.example/r4
    patient_id: {{authority: "https://genhosp.example/fhir-mrn"}}
    mapping:
      do_not_contact: {{from: "Patient.extension('https://x.example/dnc').valueBoolean", values: {{true: yes, false: no}}}}
"""

Emr = Callable[..., tuple[str, str]]


class Feed:
    """A running service, a connection to it, and what came of each message."""

    def __init__(self, service: Service, connection: MllpClient, file: Path) -> None:
        self.service, self.connection, self.file = service, connection, file
        self.sent = 0

    def send(self, *segments: str, event: str = "A08", minute: int = 0, **fields: str) -> tuple[str, str]:
        """One message; its acknowledgement code, and what ERR says."""
        self.sent += 1
        msh = f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|202611010{800 + minute}00||ADT^{event}|C{self.sent}|P|2.5.1"
        reply = read(self.connection.send(adt(event, *segments, header=msh, **fields)))
        return reply.field("MSA", 1), reply.field("ERR", 8)

    def find(self, value: str, authority: str = "GENHOSP", kind: str | None = None) -> Patient | None:
        try:
            return self.service.runtime.preferences.find("hospital", PatientRef(authority=authority, type=kind, value=value))
        except StoreError:
            return None

    def dnc(self, value: str, authority: str = "GENHOSP", kind: str | None = None) -> str | None:
        found = self.find(value, authority, kind)
        return found.contact.do_not_contact if found else None

    def ingest(self, source: str, *payloads: bytes | str, name: str = "feed") -> dict[str, int]:
        """Feeds a file through the command line."""
        path = self.file.with_name(name)
        path.write_bytes(b"\n".join(one if isinstance(one, bytes) else one.encode() for one in payloads))
        assert cli.run(["-c", str(self.file), "ingest", source, str(path), "--json"]) in (0, 1)
        return {}


@contextmanager
def running(tmp_path: Path, url: str) -> Iterator[Feed]:
    file = tmp_path / "config.yaml"
    (tmp_path / "in").mkdir()
    file.write_text(CONFIG.format(url=url, folder=tmp_path / "in"))
    with serving(load(file, {}), ["listen"]) as service:
        listener: Any = service.listeners[0].listener
        assert listener.bound.wait(30)
        with MllpClient(*listener.address) as connection:
            yield Feed(service, connection, file)


@pytest.fixture
def feed(tmp_path: Path, database_url: str) -> Iterator[Feed]:
    with running(tmp_path, database_url) as found:
        yield found


DNC, OK = "ZCP|1|DNC", "ZCP|1|OK"


def test_placeholders_and_shared_further_identifiers_join_nobody(feed: Feed) -> None:
    for further in ("0^^^FMP^PN", "UNKNOWN^^^FMP^PN", "asklater^^^FMP^PN", "4711^^^FMP^PN", "999999999^^^SSA^SS"):
        first, second = f"1-{feed.sent}", f"2-{feed.sent}"
        assert feed.send(DNC, f3=f"{first}^^^GENHOSP^MR~{further}", f13="(217)555-0101^PRN^CP")[0] == "AA"
        assert feed.send(OK, f3=f"{second}^^^GENHOSP^MR~{further}", f13="(217)555-0102^PRN^CP")[0] == "AA"
        assert (feed.dnc(first), feed.dnc(second)) == ("yes", "no"), further
        found = feed.find(first)
        assert found is not None
        assert [phone.number for phone in found.contact.phones] == ["+12175550101"]


def patients(values: Sequence[str], shared: str) -> list[str]:
    return [json.dumps(patient(value, shared)) for value in values]


def patient(value: str, shared: str) -> dict[str, Any]:
    own, national = {"system": "https://genhosp.example/fhir-mrn", "value": value}, {"system": "http://nat.example/id", "value": shared}
    dnc = [{"url": "https://x.example/dnc", "valueBoolean": True}] if int(value) % 2 else []
    return {"resourceType": "Patient", "id": f"p{value}", "extension": dnc, "identifier": [own, national]}


@pytest.mark.parametrize("shared", ["0000000000", "4711"])
def test_fifty_fhir_patients_with_one_shared_number_are_fifty(feed: Feed, shared: str) -> None:
    values = [str(number) for number in range(100, 150)]
    feed.ingest("fhir", *patients(values, shared), name="patients.ndjson")
    found = {value: feed.find(value, "https://genhosp.example/fhir-mrn") for value in values}
    assert len({one.id for one in found.values() if one}) == 50
    assert [one.contact.do_not_contact for one in found.values() if one] == ["unknown", "yes"] * 25


def test_another_issuer_in_pid_2_is_not_ours(feed: Feed) -> None:
    code, text = feed.send(DNC, f2="998877^^^OTHERHOSP^MR", f3="")
    assert code == "AE"
    assert "OTHERHOSP/MR" in text
    assert "998877" not in text
    assert feed.dnc("998877") is None


def test_two_universal_ids_of_one_namespace_are_two_issuers(feed: Feed) -> None:
    for oid, word in (("1.2.3.1", DNC), ("1.2.3.2", OK)):
        feed.send(word, f3=f"5^^^GENHOSP^MR~77^^^MRN&{oid}&ISO^PI")
    assert feed.send(DNC, f3="10001^^^GENHOSP&1.2.3.9&ISO^MR")[0] == "AE"
    assert feed.dnc("10001") is None
    assert feed.send(DNC, f3="10001^^^GENHOSP&1.2.36.146.595&ISO^MR")[0] == "AA"
    assert feed.dnc("10001") == "yes"


@pytest.mark.parametrize("own", ["10001^^^genhosp^MR", "10001^^^GENHOSP^mr", "10001^^^GenHosp^MRN", "10001^^^GENHOSP^mrn"])
def test_case_does_not_matter_and_several_types_are_in_use(feed: Feed, own: str) -> None:
    assert feed.send(DNC, f3=own)[0] == "AA"
    assert feed.dnc("10001") == feed.dnc("10001", "genhosp", own.rpartition("^")[2].swapcase()) == "yes"


def test_the_reason_names_what_came_and_what_has_ended_without_values(feed: Feed) -> None:
    code, text = feed.send(DNC, f3="10001^^^GENHOSP^MR^^^20200101~5551234^^^OTHER^PI")
    assert code == "AE"
    assert "GENHOSP/MR (ended), OTHER/PI" in text
    assert "10001" not in text


@pytest.mark.parametrize("second", ["PID", "PID|2", "PID|2||10001^^^GENHOSP^MR"])
def test_an_empty_or_identical_second_pid_is_read(feed: Feed, second: str) -> None:
    assert feed.send(second, DNC, f3="10001^^^GENHOSP^MR")[0] == "AA"
    assert feed.dnc("10001") == "yes"


@pytest.mark.parametrize("fields", [{"f4": "10001^^^GENHOSP^MR"}, {"f2": "10001"}, {"f2": "10001^^^GENHOSP^MR"}])
def test_a_patient_in_the_fields_of_older_versions_is_read(feed: Feed, fields: dict[str, str]) -> None:
    assert feed.send(DNC, **({"f3": ""} | fields))[0] == "AA"
    assert feed.dnc("10001") == "yes"


@pytest.mark.parametrize(
    ("event", "mrg", "survivor"),
    [
        ("A40", "MRG||||10002^^^GENHOSP^MR", {"f3": "10001^^^GENHOSP^MR"}),
        ("A40", "MRG|10002^^^GENHOSP^MR^^^20200101", {"f3": "10001^^^GENHOSP^MR"}),
        ("A40", "MRG|E7^^^EMPI^PI", {"f3": "10001^^^GENHOSP^MR"}),
        ("A34", "MRG|10002^^^GENHOSP^MR", {"f2": "10001", "f3": ""}),
        ("A34", "MRG|10002", {"f2": "10001^^^GENHOSP^MR", "f3": ""}),
        ("A18", "MRG||||10002^^^genhosp^mr", {"f4": "10001^^^GENHOSP^MR", "f3": ""}),
    ],
)
def test_the_refusal_of_a_retired_number_reaches_the_survivor(feed: Feed, event: str, mrg: str, survivor: dict[str, str]) -> None:
    feed.send(DNC, f3="10002^^^GENHOSP^MR~E7^^^EMPI^PI", minute=1)
    feed.send(OK, f3="10001^^^GENHOSP^MR", minute=2)
    assert feed.dnc("10001") == "no"
    assert feed.send(mrg, event=event, minute=3, **survivor)[0] == "AA"
    assert feed.dnc("10001") == "yes"


def test_two_feeds_meet_by_a_linking_identifier_only(feed: Feed) -> None:
    feed.send(OK, f3="1^^^GENHOSP^MR~E1^^^EMPI^PI~N1^^^NHS^NI")
    feed.ingest("clinic", adt("A08", DNC, f3="C1^^^CLINIC^MR~E1^^^empi^pi"), name="one.hl7")
    feed.ingest("clinic", adt("A08", DNC, f3="C2^^^CLINIC^MR~N1^^^NHS^NI"), name="two.hl7")
    linked, apart = feed.find("C1", "CLINIC"), feed.find("C2", "CLINIC")
    mine = feed.find("1")
    assert linked is not None
    assert apart is not None
    assert mine is not None
    assert linked.id == mine.id != apart.id
    assert feed.dnc("1") == "yes"


def test_a_link_to_somebody_with_another_own_identifier_is_a_conflict(feed: Feed) -> None:
    feed.send(DNC, f3="1^^^GENHOSP^MR~E1^^^EMPI^PI")
    code, text = feed.send(OK, f3="2^^^GENHOSP^MR~E1^^^EMPI^PI")
    assert code == "AE"
    assert "EMPI/PI" in text
    assert "E1" not in text.replace("EMPI", "")
    assert (feed.dnc("1"), feed.dnc("2")) == ("yes", None)


def test_several_own_identifiers_are_about_the_first_and_what_refuses_counts_for_each(feed: Feed) -> None:
    feed.send(OK, f3="2^^^GENHOSP^MR")
    feed.send(OK, f3="3^^^GENHOSP^MR")
    code, text = feed.send(DNC, f3="1^^^GENHOSP^MR^^^20200101~2^^^GENHOSP^MR~3^^^GENHOSP^MR", f15="es", minute=1)
    assert code == "AA"
    assert "several" in text
    assert [feed.dnc(number) for number in "123"] == [None, "yes", "yes"]
    second, third = feed.find("2"), feed.find("3")
    assert second is not None
    assert third is not None
    assert (second.contact.language, third.contact.language) == ("es", None)
    feed.send(OK, f3="2^^^GENHOSP^MR~3^^^GENHOSP^MR", minute=2)
    assert [feed.dnc(number) for number in "23"] == ["no", "yes"]


def test_a_code_that_cannot_be_read_counts_for_each_of_several_own_identifiers(feed: Feed) -> None:
    feed.send(OK, f3="2^^^GENHOSP^MR")
    feed.send(OK, f3="3^^^GENHOSP^MR")
    assert feed.send("ZCP|1|DECLINED", f3="2^^^GENHOSP^MR~3^^^GENHOSP^MR", minute=1)[0] == "AA"
    for number in "23":
        found = feed.find(number)
        assert found is not None
        assert [one.attribute for one in found.unreadable] == ["do_not_contact"]


def test_a_record_whose_number_was_corrected_keeps_its_refusal(feed: Feed) -> None:
    system = "https://genhosp.example/fhir-mrn"
    feed.ingest("fhir", json.dumps(patient("100", "4711")))
    corrected = patient("101", "4711") | {"id": "p100"}
    feed.ingest("fhir", json.dumps(corrected))
    assert (feed.dnc("101", system), feed.dnc("100", system)) == ("yes", "yes")


def test_what_a_link_joined_stays_joined_whatever_comes_first(feed: Feed) -> None:
    feed.ingest("clinic", adt("A08", OK, f3="E1^^^EMPI^PI~C1^^^CLINIC^MR"))
    feed.send(DNC, f3="E1^^^EMPI^PI~1^^^GENHOSP^MR~9^^^GENHOSP^MRN")
    assert feed.dnc("C1", "CLINIC") == feed.dnc("1") == feed.dnc("9", kind="MRN") == "yes"
    feed.send(OK, f3="9^^^GENHOSP^MRN", minute=5)
    assert feed.dnc("C1", "CLINIC") == "no"


def test_a_conflict_can_be_replayed_once_the_merge_has_come(feed: Feed, capsys: pytest.CaptureFixture[str]) -> None:
    feed.send(OK, f3="1^^^GENHOSP^MR~E1^^^EMPI^PI")
    assert feed.send(DNC, f3="2^^^GENHOSP^MR~E1^^^EMPI^PI", minute=2)[0] == "AE"
    assert feed.send("MRG|2^^^GENHOSP^MR", event="A40", f3="1^^^GENHOSP^MR", minute=3)[0] == "AA"
    assert cli.run(["-c", str(feed.file), "rejections", "replay", "--source", "adt", "--json"]) == 0
    assert feed.dnc("1") == feed.dnc("2") == "yes"


def test_without_patient_id_two_universal_ids_of_one_namespace_are_two_patients(feed: Feed) -> None:
    for oid, word in (("1.2.3.1", DNC), ("1.2.3.2", OK)):
        feed.ingest("plain", adt("A08", word, f3=f"0^^^FMP^PN~5^^^CITY^PI~77^^^MRN&{oid}&ISO^MR"), name=f"{oid}.hl7")
    assert (feed.dnc("77", "urn:oid:1.2.3.1"), feed.dnc("77", "urn:oid:1.2.3.2")) == ("yes", "no")


def test_without_patient_id_a_fhir_record_is_its_own_patient(feed: Feed) -> None:
    feed.ingest("records", *patients(["100", "101"], "4711"), json.dumps(patient("101", "0000") | {"id": "p7"}))
    assert [feed.dnc(name, "records") for name in ("p100", "p101", "p7")] == ["unknown", "yes", "yes"]
    found = {name: feed.find(name, "records") for name in ("p101", "p7")}
    assert len({one.id for one in found.values() if one}) == 2
