"""Opt-outs from calls, e-mail and texts that are no reply, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from store.db.database import Database
from store.domain.patient import PatientRef
from store.errors import ValueRefused
from store.patients.address_opt_outs import AskedOptOut, record_opt_out
from store.patients.opt_out_report import Wanted, opted_out
from store.patients.sms import PatientOptOut
from tests.store.site import CELL, HOME, LINE, OTHER_LINE, SYNCED, Site, cell, merges, says

MAIL, OTHER_MAIL = "Pat.Doe@example.test", "new@example.test"
NOBODY = "+12175550177"


def opt_out(site: Site, channel: str, address: str, how: str = "web_form", **rest: object) -> PatientOptOut:
    """Somebody reports an opt-out."""
    asked = AskedOptOut(channel, address, how, **rest)  # type: ignore[arg-type]
    return record_opt_out(site.store, SYNCED.name, asked, "sender:web", site.tick())


def channel_of(site: Site, patient: str = "1", *channels: str) -> str | None:
    """The channel of a broadcast that has copy for these channels; all, by default."""
    return site.decision(patient, channels=channels or ("sms", "voice", "email")).channel


@pytest.fixture
def site(database: Database) -> Site:
    """A patient with a cell phone and an e-mail address."""
    site = Site(database)
    site.apply(says("1", 0, {"phones": (cell(),), "email": (MAIL,)}))
    return site


@pytest.mark.parametrize(("channel", "address"), [("voice", CELL), ("email", MAIL), ("email", MAIL.upper())])
def test_an_opt_out_closes_its_channel_and_no_other(site: Site, channel: str, address: str) -> None:
    assert channel_of(site, "1", channel) == channel
    assert opt_out(site, channel, address) == PatientOptOut(1, is_new=True)
    assert channel_of(site, "1", channel) is None
    assert site.decision("1", channels=(channel,)).reasons[-1:] == (f"{channel}_denied",)
    assert all(channel_of(site, "1", other) == other for other in {"sms", "voice", "email"} - {channel})


def test_the_evidence_of_a_refusal_is_the_patients_opt_out(site: Site) -> None:
    opt_out(site, "email", MAIL)
    (evidence,) = [one for one in site.decision("1", channels=("email",)).evidence if one.path == "email_opt_out"]
    assert (evidence.attribute, evidence.authority) == ("consent.email", "patient")


@pytest.mark.parametrize(
    ("channel", "address", "new"),
    [("voice", CELL, {"phones": (cell(HOME),)}), ("email", MAIL, {"email": (OTHER_MAIL,)})],
)
def test_it_stays_with_the_patient_when_the_emr_replaces_the_address(
    site: Site, channel: str, address: str, new: dict[str, object]
) -> None:
    opt_out(site, channel, address)
    site.apply(says("1", 60, new))
    assert channel_of(site, "1", channel) is None


def test_one_from_an_address_that_nobody_has_applies_to_whoever_gets_it(site: Site) -> None:
    assert opt_out(site, "email", OTHER_MAIL) == PatientOptOut(0, is_new=True)
    assert channel_of(site, "1", "email") == "email"
    site.apply(says("2", 60, {"email": (OTHER_MAIL,)}))
    assert channel_of(site, "2", "email") is None


def test_it_applies_to_everybody_who_shares_the_address(site: Site) -> None:
    site.apply(says("2", 60, {"email": (MAIL.lower(),)}))
    assert opt_out(site, "email", MAIL).patients == 2
    assert channel_of(site, "1", "email") is channel_of(site, "2", "email") is None


def test_one_from_a_topic_leaves_other_topics_open(site: Site) -> None:
    opt_out(site, "email", MAIL, topic="recall")
    assert site.decision("1", channels=("email",)).channel is None  # without a topic it may be about any
    known = site.known("1")
    assert [one.topic for one in known.opt_outs] == ["recall"]


def test_a_merge_keeps_it_and_an_unmerged_record_has_it_back(site: Site) -> None:
    site.apply(says("2", 60, {"email": (OTHER_MAIL,)}))
    opt_out(site, "email", OTHER_MAIL)
    site.apply(merges("1", "2", 90))
    assert channel_of(site, "1", "email") is None


def test_a_start_by_text_does_not_lift_an_opt_out_from_calls_or_e_mail(site: Site) -> None:
    opt_out(site, "voice", CELL)
    opt_out(site, "email", MAIL)
    site.text("START")
    assert channel_of(site, "1", "voice") is channel_of(site, "1", "email") is None


def test_one_from_texts_is_a_stop_to_its_line_that_start_lifts(site: Site) -> None:
    opt_out(site, "sms", CELL, "provider_refusal", line=LINE)
    assert not site.may_text("1")
    assert site.may_text("1", OTHER_LINE)
    site.text("START")
    assert site.may_text("1")


def test_a_late_one_does_not_undo_a_newer_start(site: Site) -> None:
    begun = site.tick()
    site.text("START")
    opt_out(site, "sms", CELL, line=LINE, at=begun - timedelta(hours=1))
    assert site.may_text("1")


def test_a_repeat_is_not_new_and_adds_nothing_to_the_history(site: Site) -> None:
    opt_out(site, "email", MAIL)
    version = site.find("1").version
    assert opt_out(site, "email", MAIL) == PatientOptOut(1, is_new=False)
    assert site.find("1").version == version


def test_the_history_the_feed_and_an_earlier_time_tell_of_it(site: Site) -> None:
    before = site.tick()
    opt_out(site, "email", MAIL)
    patient, after = site.find("1"), site.tick()
    assert site.store.history(SYNCED.name, patient.id)[0].attribute == "email_consent"
    assert site.store.changes(SYNCED.name, 0, 10)[-1].attributes == ("email_consent",)
    past = [site.store.as_of(SYNCED.name, PatientRef(id=patient.id), when).opt_outs for when in (before, after)]
    assert [[one.channel for one in each] for each in past] == [[], ["email"]]


def test_the_report_has_each_channel_by_itself(site: Site) -> None:
    opt_out(site, "voice", NOBODY)
    opt_out(site, "email", MAIL)
    site.text("STOP")
    found = {
        channel: [one.number for one in opted_out(site.database, SYNCED.name, Wanted(channel=channel))]
        for channel in ("sms", "voice", "email")
    }
    assert found == {"sms": [CELL], "voice": [NOBODY], "email": [MAIL.lower()]}


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        *(("email", text) for text in ("no address", "a@b@c", "Pat <a@b.test>", "@", "a@" + "b" * 254)),
        *(("voice", "REMINDER"), ("voice", "12"), ("sms", "a@b.test")),
    ],
)
def test_what_is_no_address_is_refused(site: Site, channel: str, address: str) -> None:
    with pytest.raises(ValueRefused, match="address must be"):
        opt_out(site, channel, address, line=LINE if channel == "sms" else None)
    assert list(opted_out(site.database, SYNCED.name, Wanted(channel=channel))) == []
