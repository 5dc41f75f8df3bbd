"""An ADT feed into the running service: secured, in sequence, twice, and refused; what is acknowledged is what is kept."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7v2 import tls
from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.reader import read
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from sync.config.loading import load
from sync.service import Service, serving
from tests.adapters.hl7v2.certificates import Authority
from tests.adapters.hl7v2.messages import adt

CONFIG = """\
database: {url}
enterprises:
  hospital: {{sync_contact_preferences: true, default_region: US}}
sources:
  adt:
    enterprise: hospital
    adapter: hl7v2.mllp
    listen: 127.0.0.1:0
    patient_id: {{authority: GENHOSP, type: MR}}
    mapping:
      do_not_contact: {{from: ZCP-2, values: {{DNC: yes, OK: no}}}}
"""


@contextmanager
def listening(tmp_path: Path, url: str, more: str = "") -> Iterator[tuple[Service, tuple[str, int]]]:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(url=url) + "".join(f"    {line}\n" for line in more.splitlines()))
    with serving(load(file, {}), ["listen"]) as service:
        listener: Any = service.listeners[0].listener
        assert listener.bound.wait(30)
        yield service, listener.address


def message(control: str, word: str = "DNC", *, header: str = "", minute: int = 30, event: str = "A08") -> bytes:
    msh = f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|202611010{800 + minute}00||ADT^{event}|{control}|P|2.5.1{header}"
    return adt(event, f"ZCP|1|{word}", header=msh)


def acknowledged(connection: MllpClient, body: bytes) -> tuple[str, str, str]:
    """MSA-1, MSA-4 and our own control id."""
    reply = read(connection.send(body))
    return reply.field("MSA", 1), reply.field("MSA", 4), reply.field("MSH", 10)


def dnc(service: Service) -> str:
    ref = PatientRef(authority="GENHOSP", value="MRN10001")
    return service.runtime.preferences.find("hospital", ref).contact.do_not_contact


def reasons(service: Service) -> list[str]:
    return [one.reason for one in service.runtime.journal.rejections(source="adt")]


def test_a_message_whose_acknowledgement_was_lost_changes_nothing_the_second_time(tmp_path: Path, database_url: str) -> None:
    first, second = message("C1", "DNC"), message("C2", "OK", minute=31)
    with listening(tmp_path, database_url) as (service, address), MllpClient(*address) as connection:
        answers = [acknowledged(connection, body) for body in (first, second, first)]
        assert dnc(service) == "no"
        patient = service.runtime.preferences.find("hospital", PatientRef(value="MRN10001"))
    with listening(tmp_path, database_url) as (service, address), MllpClient(*address) as connection:  # and over a restart
        again = acknowledged(connection, first)
        assert dnc(service) == "no"
        assert service.runtime.preferences.find("hospital", PatientRef(value="MRN10001")).version == patient.version
    assert answers[0] == answers[2] == again
    assert answers[0] != answers[1]
    assert answers[0][0] == "AA"


def test_a_code_that_could_not_be_read_is_when_the_message_comes_again_and_the_mapping_has_it(tmp_path: Path, database_url: str) -> None:
    body = message("C1", "NEVER")
    with listening(tmp_path, database_url) as (service, address), MllpClient(*address) as connection:
        assert acknowledged(connection, body)[0] == "AA"
        assert service.runtime.preferences.find("hospital", PatientRef(value="MRN10001")).contact.unreadable == ("do_not_contact",)
        assert reasons(service) == ["code_unmapped"]
    mended = "  do_not_contact: {from: ZCP-2, values: {NEVER: yes}}"
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(url=database_url).rpartition("      do_not_contact")[0] + f"    {mended}\n")
    with serving(load(file, {}), ["listen"]) as service:
        listener: Any = service.listeners[0].listener
        assert listener.bound.wait(30)
        with MllpClient(*listener.address) as connection:
            assert acknowledged(connection, body)[0] == "AA"
        found = service.runtime.preferences.find("hospital", PatientRef(value="MRN10001")).contact
        assert (found.do_not_contact, found.unreadable) == ("yes", ())


def test_codes_and_mode_are_the_sources_own(tmp_path: Path, database_url: str) -> None:
    with listening(tmp_path, database_url, "ack: {rejected: AA}") as (service, address), MllpClient(*address) as connection:
        assert acknowledged(connection, message("C1", "WHAT"))[0] == "AA"
        assert acknowledged(connection, message("C2", header="|||AL|NE"))[0] == "CA"
        assert reasons(service) == ["code_unmapped"]
        assert dnc(service) == "yes"


def test_both_acknowledgements_of_enhanced_mode_come_after_the_commit(tmp_path: Path, database_url: str) -> None:
    with listening(tmp_path, database_url) as (service, address), MllpClient(*address) as connection:
        accept = read(connection.send(message("C1", header="|||AL|AL")))
        assert dnc(service) == "yes"
        application = read(connection.receive())
    assert [one.segments("MSA")[0][1:3] for one in (accept, application)] == [["CA", "C1"], ["AA", "C1"]]


def test_sequence_numbers_outlive_the_process_and_a_gap_is_for_a_person_to_see(tmp_path: Path, database_url: str) -> None:
    sequence = "sequence: true"
    with listening(tmp_path, database_url, sequence) as (_, address), MllpClient(*address) as connection:
        assert acknowledged(connection, message("C1", header="|1"))[:2] == ("AA", "2")
    with listening(tmp_path, database_url, sequence) as (service, address), MllpClient(*address) as connection:
        assert acknowledged(connection, message("C3", "OK", header="|3", minute=33))[:2] == ("AR", "2")
        assert dnc(service) == "yes"
        assert acknowledged(connection, message("C2", "OK", header="|2", minute=32))[:2] == ("AA", "3")
        assert dnc(service) == "no"
    with listening(tmp_path, database_url, sequence) as (service, _):
        assert reasons(service) == ["sequence_mismatch"]


def test_mutual_tls_by_configuration(tmp_path: Path, database_url: str) -> None:
    ours = Authority()
    for name, text in zip(("certificate", "key"), ours.issue("listener.example"), strict=True):
        (tmp_path / f"{name}.pem").write_text(text)
    (tmp_path / "ca.pem").write_text(ours.pem)
    secured = "tls: {certificate: file:certificate.pem, key: file:key.pem, client_ca: file:ca.pem}"
    known = tls.connecting({"ca": ours.pem} | dict(zip(("certificate", "key"), ours.issue("sender.example"), strict=True)))
    stranger = tls.connecting({"ca": ours.pem})
    with listening(tmp_path, database_url, secured) as (service, address):
        with pytest.raises((ssl.SSLError, ConnectionError)), MllpClient(*address, tls=stranger) as connection:
            connection.send(message("C1"))
        with MllpClient(*address, tls=known) as connection:
            assert acknowledged(connection, message("C2"))[0] == "AA"
        assert dnc(service) == "yes"


def test_a_message_of_which_a_part_can_be_used_is_accepted_with_a_warning_and_the_part_is_kept(tmp_path: Path, database_url: str) -> None:
    torn = message("C1", "OK").replace(b"ZCP|1|OK", b"ZCP|1\r|DNC")
    with listening(tmp_path, database_url) as (service, address), MllpClient(*address) as connection:
        reply = read(connection.send(torn))
        assert (reply.field("MSA", 1), reply.field("ERR", 4), reply.field("ERR", 5)) == ("AA", "W", "line_not_a_segment")
        assert (dnc(service), reasons(service)) == ("yes", ["line_not_a_segment"])
        again = read(connection.send(torn))
        assert (again.field("MSH", 10), again.field("ERR", 4)) == (reply.field("MSH", 10), "W")
        assert acknowledged(connection, message("C2", "OK", minute=31))[0] == "AA"
        assert dnc(service) == "no"


def test_the_code_of_a_message_used_in_part_is_the_sources(tmp_path: Path, database_url: str) -> None:
    more = "ack: {partial: AE}"
    with listening(tmp_path, database_url, more) as (service, address), MllpClient(*address) as connection:
        assert acknowledged(connection, message("C1").replace(b"ZCP|1|", b"ZCP|1\r|"))[0] == "AE"
        assert dnc(service) == "yes"


def test_a_frame_beyond_the_limit_is_answered_its_head_is_kept_and_what_follows_arrives(tmp_path: Path, database_url: str) -> None:
    large = message("C1", "OK") + b"NTE|1||" + b"x" * 200_000
    with listening(tmp_path, database_url, "max_message_bytes: 20000") as (service, address), MllpClient(*address) as connection:
        assert acknowledged(connection, large)[0] == "AE"
        assert reasons(service) == ["frame_too_large"]
        assert acknowledged(connection, message("C2", "DNC"))[0] == "AA"
        assert dnc(service) == "yes"


def test_a_merge_and_what_is_said_beside_it_are_both_applied(tmp_path: Path, database_url: str) -> None:
    merge = message("C3", "DNC", minute=32, event="A40").replace(b"ZCP", b"MRG|MRN10002^^^GENHOSP^MR\rZCP")
    with listening(tmp_path, database_url) as (service, address), MllpClient(*address) as connection:
        acknowledged(connection, message("C1", "OK"))
        acknowledged(connection, message("C2", "OK").replace(b"MRN10001", b"MRN10002"))
        assert [acknowledged(connection, merge)[0] for _ in range(2)] == ["AA", "AA"]
        assert dnc(service) == "yes"
        gone = service.runtime.preferences.find("hospital", PatientRef(authority="GENHOSP", value="MRN10002"))
        assert gone.contact.do_not_contact == "yes"


def test_what_is_read_is_the_sources_choice(tmp_path: Path, database_url: str) -> None:
    results = message("C1").replace(b"ADT^A08", b"ORU^R01")
    training = message("C2").replace(b"|P|2.5.1", b"|T|2.5.1")
    with listening(tmp_path, database_url) as (service, address), MllpClient(*address) as connection:
        assert [acknowledged(connection, one)[0] for one in (results, training)] == ["AA", "AA"]
        with pytest.raises(PatientUnknown):
            dnc(service)
    with (
        listening(tmp_path, database_url, "messages: [ADT, ORU]\nprocessing: [P, T]") as (service, address),
        MllpClient(*address) as connection,
    ):
        assert acknowledged(connection, results)[0] == "AA"
        assert dnc(service) == "yes"
