"""Properties of every patient, request and policy: no decision rule ever contacts a patient who refused."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from store.domain import reasons as why
from store.domain.channels import ORDER
from store.domain.contact import ContactPreferences
from store.domain.decision import Appointment, DecisionRequest, KnownPatient, decide
from store.domain.policies import OFFERED, Policy
from store.domain.sms_consent import OptOut, blocks
from store.preference import Method, Phone

NOW = datetime(2026, 11, 2, 15, 0, tzinfo=UTC)
NUMBERS = tuple(f"+1217555010{last}" for last in range(5))
LINES = ("+12175550190", "+12175550191")
TOPICS = ("billing", "recall")
CONSENT = st.sampled_from(["granted", "denied"])
METHODS = st.none() | st.sampled_from([method.value for method in Method])

phones = st.builds(
    Phone,
    st.sampled_from(NUMBERS[:4]),
    st.sampled_from(["cell", "home", "work", "other"]),
    rank=st.none() | st.integers(1, 3),
    textable=st.booleans(),
    start=st.sampled_from([None, "2026", "2026-12-01"]),
    end=st.sampled_from([None, "2026-11", "2026-10-31"]),
)
consent_keys = st.sampled_from([*ORDER, *(f"{channel}#{number}" for channel in ("sms", "voice") for number in NUMBERS)])
contacts = st.builds(
    ContactPreferences,
    do_not_contact=st.sampled_from(["yes", "no", "unknown"]),
    preferred_method=METHODS,
    preferred_phone=st.none() | st.sampled_from(NUMBERS),
    phones=st.lists(phones, max_size=4).map(tuple),
    emails=st.sampled_from([(), ("pat@example.test",)]),
    consents=st.dictionaries(consent_keys, CONSENT, max_size=4),
    topics=st.dictionaries(st.sampled_from([f"{topic}.{channel}" for topic in TOPICS for channel in ORDER]), CONSENT, max_size=6),
    deceased=st.booleans(),
    unreadable=st.sampled_from([(), (), ("do_not_contact",), ("consent.sms",), ("preferred_method", "deceased")]),
)
opt_outs = st.builds(
    lambda line, number, scope, authority: OptOut(line, number, scope, "billing" if scope == "topic" else None, authority, NOW),
    st.none() | st.sampled_from(LINES),
    st.sampled_from(NUMBERS),
    st.sampled_from(["line", "topic"]),
    st.sampled_from(["patient", "staff"]),
)
known = st.builds(
    KnownPatient,
    st.just("p1"),
    st.just(1),
    contacts,
    st.lists(opt_outs, max_size=2).map(tuple),
    st.none(),
    st.booleans(),
    at_later=st.none(),
)
asks = st.builds(
    DecisionRequest,
    message_type=st.sampled_from(["automation", "broadcast", "campaign", "manual"]),
    channels=st.lists(st.sampled_from(ORDER), unique=True).map(tuple),
    line=st.none() | st.sampled_from(LINES),
    topic=st.none() | st.sampled_from(TOPICS),
    appointment=st.none() | st.builds(Appointment, METHODS, st.none() | st.sampled_from(NUMBERS)),
    at=st.none(),
)
policies = st.builds(Policy, **{one.name: st.sampled_from([choice.value for choice in one.choices]) for one in OFFERED})


@given(asks, known, policies)
def test_every_allowed_channel_respects_the_patients_preferences(ask: DecisionRequest, known: KnownPatient, policy: Policy) -> None:
    decision = decide(ask, known, policy, NOW)
    if decision.decision != "send":
        assert decision.decision == "do_not_send"
        assert decision.reasons
        assert (decision.channel, decision.address) == (None, None)
        return
    contact, channel, address = known.contact, decision.channel or "", decision.address or ""
    assert channel in ask.channels
    assert not contact.deceased
    assert contact.consents.get(channel) != "denied"
    assert contact.consents.get(f"{channel}#{address}") != "denied"
    assert not (policy.when_stale == "refuse" and known.stale)
    if channel == "sms":
        assert not any(blocks(one, ask.line, ask.topic) for one in known.opt_outs)
        assert any(phone.number == address and phone.textable for phone in contact.phones)
    if ask.message_type == "automation":
        _assert_automation_obeys(ask, known, policy, channel, address)


def _assert_automation_obeys(ask: DecisionRequest, known: KnownPatient, policy: Policy, channel: str, address: str) -> None:
    contact, appointment = known.contact, ask.appointment or Appointment()
    method = appointment.preferred_method or contact.preferred_method
    assert method != "none"
    assert not (ask.topic and contact.topics.get(f"{ask.topic}.{channel}") == "denied")
    if contact.do_not_contact == "yes":
        assert policy.appointment_may_lift_dnc
        assert channel == appointment.preferred_method or address == appointment.preferred_phone
    if method and policy.when_preferred_impossible == "refuse":
        assert channel == method


@given(asks, known, policies, st.sampled_from(ORDER))
def test_a_denial_never_permits_another_channel(ask: DecisionRequest, known: KnownPatient, policy: Policy, channel: str) -> None:
    before = decide(ask, known, policy, NOW)
    denied = replace(known.contact, consents={**known.contact.consents, channel: "denied"})
    after = decide(ask, replace(known, contact=denied), policy, NOW)
    assert after.channel != channel
    assert not (before.decision == "do_not_send" and after.decision == "send")


@given(asks, known, policies, opt_outs)
def test_an_opt_out_never_permits_another_channel(ask: DecisionRequest, known: KnownPatient, policy: Policy, opt_out: OptOut) -> None:
    before = decide(ask, known, policy, NOW)
    after = decide(ask, replace(known, opt_outs=(*known.opt_outs, opt_out)), policy, NOW)
    assert not (before.decision == "do_not_send" and after.decision == "send")
    assert after.channel != "sms" or before.channel == "sms"


@given(asks, known, policies)
def test_do_not_contact_never_permits_a_channel(ask: DecisionRequest, known: KnownPatient, policy: Policy) -> None:
    without = decide(ask, replace(known, contact=replace(known.contact, do_not_contact="unknown")), policy, NOW)
    with_it = decide(ask, replace(known, contact=replace(known.contact, do_not_contact="yes")), policy, NOW)
    assert not (without.decision == "do_not_send" and with_it.decision == "send")


@given(contacts, st.sampled_from(ORDER))
def test_only_the_lack_of_an_address_closes_a_channel_to_a_patient_who_refused_nothing(contact: ContactPreferences, channel: str) -> None:
    """A code that is not among them would put the patient's numbers on suppression lists, and say on the facesheet that they refused."""
    willing = ContactPreferences(phones=contact.phones, emails=contact.emails)
    decision = decide(DecisionRequest(message_type="broadcast", channels=(channel,)), KnownPatient("p1", 1, willing), Policy(), NOW)
    assert {one.reason for one in decision.skipped} <= {why.NO_COPY, *why.UNREACHABLE}


@given(contacts, opt_outs)
def test_a_patient_who_closed_a_channel_is_told_by_a_code_that_has_the_evidence_of_it(contact: ContactPreferences, opt_out: OptOut) -> None:
    reached = replace(contact, phones=(Phone(NUMBERS[0], textable=True),), emails=("pat@example.test",), deceased=False, unreadable=())
    request = DecisionRequest(message_type="broadcast", channels=ORDER)
    decision = decide(request, KnownPatient("p1", 1, reached, (opt_out,)), Policy(), NOW)
    assert {one.reason for one in decision.skipped} <= why.BY_CONSENT.keys()


@given(asks, known, policies)
def test_every_channel_has_an_outcome(ask: DecisionRequest, known: KnownPatient, policy: Policy) -> None:
    decision = decide(ask, known, policy, NOW)
    visited = [one.channel for one in decision.skipped]
    assert len(visited) == len(set(visited))
    assert decision.channel not in visited
    if decision.decision == "do_not_send" and visited:
        assert set(visited) == set(ORDER)
