"""Refusals in malformed HL7 messages, from the message to the value in force: each stops contact, and unreadable parts are reported."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapters.base import Payload
from store.db.database import Database
from store.domain.patient import PatientRef
from tests.sync.test_remap import BEGIN, LANE, Site

RULES = {
    "do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}},
    "preferred_method": {"from": "ZCP-3", "values": {"T": "sms", "N": "none"}},
    "consent.sms#*": {"from": "PID-13.9", "values": {"Y": "granted", "N": "denied"}},
}
SWAPPED = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "no", "OK": "yes"}}}
MRN = "1^^^GENHOSP^MR"
PHONE = "^PRN^CP^^1^217^5550123"
LINE, LOST = "line_not_a_segment", "undecodable"


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)


def sent(
    *lines: str, event: str = "A08", minute: int = 5, msh_7: str = "", evn_2: str = "", identifiers: str = MRN, f13: str = PHONE
) -> bytes:
    at = msh_7 or (BEGIN + timedelta(minutes=minute)).strftime("%Y%m%d%H%M%S+0000")
    head = f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|{at}||ADT^{event}|{event}-{minute}|P|2.5.1||||||UNICODE UTF-8"
    body = [head, f"EVN|{event}|{evn_2}", f"PID|1||{identifiers}||||||||||{f13}", *lines]
    return "\r".join(body).encode("utf-8", "surrogateescape")


def in_force(site: Site) -> tuple[str, tuple[str, ...]]:
    contact = site.store.find("clinic", PatientRef(value="1")).contact
    return contact.do_not_contact, contact.unreadable


def ingest(site: Site, *bodies: bytes) -> tuple[str, list[str]]:
    """The outcome of the last message, and its unused parts."""
    payloads = [Payload(body, f"test:{number}", site.clock()) for number, body in enumerate(bodies)]
    answer = site.engine.ingest(LANE, site.mapper(RULES), payloads)[-1]
    return answer.outcome, [one.reason for one in answer.problems] or [answer.reason]


PERMITTED = sent("ZCP|1|OK|T", minute=1)


@pytest.mark.parametrize("line", ["Zcp|1|DNC", "ZCP |1|DNC", "\ufeffZCP|1|DNC", "NTE|1||hello\nzcp|1|DNC", "NTE|1||a\nMSH|x\rZCP|1|DNC"])
def test_the_segment_of_a_refusal_is_read_despite_a_malformed_name(site: Site, line: str) -> None:
    assert ingest(site, PERMITTED, sent(line)) == ("applied", [""])
    assert in_force(site)[0] == "yes"


@pytest.mark.parametrize("line", ["ZCP1|1|DNC", '"ZCP|1|DNC"', "2CP|1|DNC", "ZC\u0420|1|DNC", "CP|1|DNC", "XCP|1|DNC"])
def test_a_line_that_may_be_the_segment_makes_the_preference_unreadable(site: Site, line: str) -> None:
    assert ingest(site, PERMITTED, sent("PV1|1", line))[1][0] == LINE
    assert in_force(site) == ("no", ("do_not_contact", "preferred_method"))


@pytest.mark.parametrize("event", ["A08", "A40", "A24", "A37"])
@pytest.mark.parametrize("lost", ["\udc81\udc8d", "\\XFF\\"])
def test_undecodable_text_beside_a_refusal_does_not_lose_it(site: Site, event: str, lost: str) -> None:
    lines = (["MRG|2^^^GENHOSP^MR"] if event == "A40" else []) + [f"ZCP|1|DNC|T{lost}"]
    identifiers = f"{MRN}~7{lost}^^^GENHOSP^AN"
    assert LOST in ingest(site, PERMITTED, sent(*lines, event=event, identifiers=identifiers, f13=f"{PHONE}^^{lost}"))[1]
    assert in_force(site) == ("yes", ("consent.sms", "preferred_method"))


@pytest.mark.parametrize(("code", "dnc"), [("DNC", "yes"), ("OK", "no")])
def test_a_refusal_counts_for_the_readable_own_identifier_beside_an_unreadable_one(site: Site, code: str, dnc: str) -> None:
    body = sent(f"ZCP|1|{code}", identifiers=f"7\udc81^^^GENHOSP^MR~{MRN}")
    assert ingest(site, PERMITTED, body) == ("rejected", [LOST])
    assert in_force(site)[0] == dnc


def test_a_refusal_without_an_identifiable_patient_is_reported(site: Site) -> None:
    body = sent("ZCP|1|DNC", event="A24", identifiers="1\\XFF\\^^^GENHOSP^MR")
    assert ingest(site, PERMITTED, body) == ("rejected", [LOST])


def test_an_unusual_utc_offset_does_not_make_a_refusal_older(site: Site) -> None:
    permitted = sent("ZCP|1|OK", msh_7="20261101070000+0000")
    refused = sent("ZCP|1|DNC", msh_7="2026-11-01T00:31:00-10:00", evn_2="20261101003000")
    assert ingest(site, permitted, refused)[0] == "applied"
    assert in_force(site)[0] == "yes"


def test_an_unusual_utc_offset_does_not_make_a_permission_newer(site: Site) -> None:
    refused = sent("ZCP|1|DNC", msh_7="20261101080000+0000")
    permitted = sent("ZCP|1|OK", minute=7, msh_7="2026-11-01T04:01:00Z", evn_2="20261101040000")
    assert ingest(site, refused, permitted)[0] == "stale"
    assert in_force(site)[0] == "yes"


def test_a_refusal_without_a_usable_time_counts(site: Site) -> None:
    body = sent("ZCP|1|DNC", msh_7="20261101050000+2500", evn_2="20261101000000")
    assert ingest(site, PERMITTED, body) == ("applied", ["time_unreadable"])
    assert in_force(site)[0] == "yes"


def test_two_pid_segments_of_one_patient_are_one_patient(site: Site) -> None:
    assert ingest(site, PERMITTED, sent(f"PID|2||{MRN}|||||F", "ZCP|1|DNC"))[0] == "applied"
    assert in_force(site)[0] == "yes"


@pytest.mark.parametrize("event", ["A08", "A23", "A40"])
def test_a_corrected_mapping_rereads_the_codes_of_every_event(site: Site, event: str) -> None:
    lines = (["MRG|2^^^GENHOSP^MR"] if event == "A40" else []) + ["ZCP|1|DNC", "NTE|1||a note\rthat goes on"]
    site.receive(SWAPPED, sent(minute=1), sent(*lines, event=event))
    assert in_force(site)[0] == "no"
    site.remap(RULES)
    assert in_force(site)[0] == "yes"


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(b"|P|2.5.1", b"|X|2.5.1"), (b"|P|2.5.1", b"|P~T|2.5.1"), (b"|P|2.5.1", b"|TRAINING|2.5.1"), (b"ADT^", b"AOT^")],
)
def test_a_message_not_known_to_be_production_lifts_no_refusal(site: Site, found: bytes, wanted: bytes) -> None:
    outcome, reasons = ingest(site, sent("ZCP|1|DNC", minute=1), sent("ZCP|1|OK").replace(found, wanted))
    assert (outcome, reasons) in [
        ("rejected", ["processing_unknown"]),
        ("filtered", ["processing_training"]),
        ("rejected", ["message_type_unknown"]),
    ]
    assert in_force(site)[0] == "yes"


@pytest.mark.parametrize("code", [b"X", b"P~T", b"LIVE"])
def test_a_refusal_counts_even_if_the_processing_id_is_unknown(site: Site, code: bytes) -> None:
    message = sent("ZCP|1|DNC").replace(b"|P|2.5.1", b"|" + code + b"|2.5.1")
    assert "processing_unknown" in ingest(site, PERMITTED, message)[1]
    assert in_force(site)[0] == "yes"


@pytest.mark.parametrize("kind", [b"ADT&A08", b"ADT_A08", b" adt^a08 ", b"ADTA08"])
def test_a_refusal_counts_in_every_spelling_of_the_event(site: Site, kind: bytes) -> None:
    assert ingest(site, PERMITTED, sent("ZCP|1|DNC").replace(b"ADT^A08", kind)) == ("applied", [""])
    assert in_force(site)[0] == "yes"
