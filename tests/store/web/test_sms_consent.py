"""SMS consent over HTTP for senders and users of an enterprise, sentence by sentence of product section 6."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from store import times
from store.preference import Phone
from tests.store.site import BY_LINE
from tests.store.web.conftest import CELL, EARLIER, HOME, LINE, NOW, Service, statements

OTHER_LINE, NEW = "+12175550191", "+12175550140"
MRN1, MRN2 = "MRN1", "MRN2"
OPT_OUT_WORDS = ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPT OUT", "OPTOUT", "STOP ALL")
STOPPED, OPEN = "Opted Out of 1 number", "Opted In"


def text(service: Service, body: str, number: str = CELL, line: str = LINE, *, enterprise: str = "general", **more: Any) -> Any:
    reply = service.call("POST", "/v1/sms-replies", {"line": line, "from": number, "body": body} | more, enterprise=enterprise)
    assert reply.status == 200
    return reply.json


def decided(service: Service, patient: str, line: str = LINE, enterprise: str = "general", **more: Any) -> Any:
    ask = {"patient": {"value": patient}, "message_type": "broadcast", "channels": ["sms"], "line": line} | more
    return service.call("POST", "/v1/decisions", ask, enterprise=enterprise).json


def may_text(service: Service, patient: str = MRN1, line: str = LINE, enterprise: str = "general", **more: Any) -> bool:
    return bool(decided(service, patient, line, enterprise, **more)["decision"] == "send")


def shown(service: Service, patient: str = MRN1, enterprise: str = "general") -> str:
    return str(service.patient(patient, enterprise)["sms_consent"]["display"])


def by_hand(service: Service, body: dict[str, Any], patient: str = MRN1, role: str = "staff") -> Any:
    return service.call("POST", f"/v1/patients/{service.patient(patient)['id']}/sms-consent", body, role=role)


def states(service: Service, patient: str, evidence: str, *numbers: str, **more: Any) -> None:
    """The EMR states which numbers a patient has."""
    phones = tuple(Phone(number, "cell", number, rank, textable=True) for rank, number in enumerate(numbers, 1))
    item = replace(statements(patient, evidence, phones=phones, **more), effective=times.at(EARLIER + timedelta(minutes=int(evidence[1:]))))
    with service.store.database.write("general") as transaction:
        service.store.apply_many(transaction, "general", "genhosp-adt", [item], now=NOW)


@pytest.mark.parametrize("enterprise", ["general", "local", "quiet"])
def test_sms_consent_exists_whether_or_not_preferences_are_synced(fresh: Service, enterprise: str) -> None:
    assert may_text(fresh, enterprise=enterprise)
    text(fresh, "STOP", enterprise=enterprise)
    assert (may_text(fresh, enterprise=enterprise), shown(fresh, enterprise=enterprise)) == (False, STOPPED)


def test_sms_consent_is_kept_per_line_and_number(fresh: Service) -> None:
    text(fresh, "STOP", HOME)
    assert [(one["line"], one["number"]) for one in fresh.patient()["sms_consent"]["opted_out"]] == [(LINE, HOME)]
    assert (may_text(fresh, line=OTHER_LINE), may_text(fresh, MRN2)) == (True, True)
    assert fresh.patient(MRN2)["sms_consent"]["opted_out"] == []


def test_sms_consent_is_shown_with_the_count_of_numbers(fresh: Service) -> None:
    assert shown(fresh) == "Opted In"
    text(fresh, "STOP")
    text(fresh, "STOP", line=OTHER_LINE)
    assert shown(fresh) == "Opted Out of 1 number"
    text(fresh, "STOP", HOME)
    assert shown(fresh) == "Opted Out of 2 numbers"


def test_late_replies_do_not_override_newer_ones(fresh: Service) -> None:
    text(fresh, "STOP", received_at=(NOW - timedelta(minutes=1)).isoformat())
    text(fresh, "START", received_at=(NOW - timedelta(minutes=2)).isoformat())
    assert not may_text(fresh)
    (opt_out,) = fresh.patient()["sms_consent"]["opted_out"]
    assert opt_out["at"].startswith((NOW - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S"))


@pytest.mark.parametrize("written", [str.upper, str.lower, str.title, lambda word: f"  {word}!! ", lambda word: f'"{word}."'])
def test_opt_out_keywords_ignore_case_and_punctuation(fresh: Service, written: Any) -> None:
    for place, word in enumerate(OPT_OUT_WORDS):
        line = f"+121755502{place:02}"
        assert text(fresh, written(word), line=line)["recognised"] == "opt_out", word
        assert not may_text(fresh, line=line), word


@pytest.mark.parametrize("word", ["START", "unstop", "Yes!"])
def test_every_opt_in_keyword_revokes_the_patients_own_opt_out(fresh: Service, word: str) -> None:
    text(fresh, "STOP")
    assert text(fresh, word)["recognised"] == "opt_in"
    assert (may_text(fresh), shown(fresh)) == (True, OPEN)


def test_opt_in_keywords_are_configurable_except_opt_out_keywords(fresh: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = fresh.store.enterprises["general"]
    monkeypatch.setitem(fresh.store.enterprises, "general", replace(rules, opt_in_words=frozenset({"RESUME", "STOP"})))  # type: ignore[arg-type]
    text(fresh, "STOP")
    assert (text(fresh, "START")["recognised"], text(fresh, "STOP")["recognised"], may_text(fresh)) == (None, "opt_out", False)
    assert (text(fresh, "resume")["recognised"], may_text(fresh)) == ("opt_in", True)


def test_the_response_has_the_keyword_the_scope_and_the_confirmation_to_send(fresh: Service) -> None:
    def answered(body: str, **more: Any) -> tuple[Any, ...]:
        reply = text(fresh, body, **more)
        return reply["recognised"], reply["scope"], reply["confirmation"]

    assert answered("STOP") == ("opt_out", "line", "opt_out_confirmed")
    assert answered("STOP") == ("opt_out", "line", "none"), "a repeated STOP is not confirmed again"
    assert answered("STOPALL") == ("opt_out", "all_lines", "opt_out_confirmed")
    assert answered("START") == ("opt_in", "line", "opt_in_confirmed")
    assert answered("START") == ("opt_in", "line", "none")
    assert answered("see you at noon") == (None, None, "none")
    by_hand(fresh, {"all_lines": True})
    assert answered("START") == ("opt_in", "line", "still_opted_out")


def test_a_number_shared_by_several_patients_opts_all_of_them_out_on_that_line(fresh: Service) -> None:
    assert text(fresh, "STOP")["patients"] == 2
    assert [(may_text(fresh, one), may_text(fresh, one, OTHER_LINE), shown(fresh, one)) for one in (MRN1, MRN2)] == [
        (False, True, STOPPED)
    ] * 2
    text(fresh, "START")
    assert [may_text(fresh, one) for one in (MRN1, MRN2)] == [True, True]


@pytest.mark.parametrize("role", ["enterprise", "staff"])
def test_enterprise_users_and_staff_record_an_opt_out_for_one_line_or_all(fresh: Service, role: str) -> None:
    assert by_hand(fresh, {"line": LINE, "reason": "phoned"}, role=role).status == 200
    assert (may_text(fresh), may_text(fresh, line=OTHER_LINE)) == (False, True)
    assert by_hand(fresh, {"all_lines": True}, role=role).status == 200
    assert (may_text(fresh, line=OTHER_LINE), shown(fresh)) == (False, "Opted Out of 2 numbers")


def test_an_opt_in_on_the_patients_behalf_needs_the_policy(fresh: Service) -> None:
    text(fresh, "STOP", HOME)
    opt_in = {"kind": "opt_in", "line": LINE, "number": HOME, "reason": "asked at the desk"}
    assert (by_hand(fresh, opt_in).json["code"], may_text(fresh)) == ("opt_in_off", False)
    fresh.call("PUT", "/v1/settings", {"staff_may_record_opt_in": True}, role="enterprise")
    assert (by_hand(fresh, opt_in).status, may_text(fresh)) == (200, True)


def test_each_revocation_keeps_its_scope(fresh: Service) -> None:
    text(fresh, "STOP", HOME)
    text(fresh, "STOPALL", HOME, OTHER_LINE)
    by_hand(fresh, {"line": LINE, "topic": "billing"}, MRN2)
    kept = fresh.call("GET", "/v1/sms-consent/report", role="manager").json
    assert [(one["number"], one["scope"], one["line"], one["topic"]) for one in kept] == [
        (CELL, "topic", LINE, "billing"),
        (HOME, "all_lines", None, None),
        (HOME, "line", LINE, None),
    ]
    assert (may_text(fresh, MRN2, topic="billing"), may_text(fresh, MRN2, topic="recalls")) == (False, True)


def test_a_site_chooses_how_far_a_stop_reaches_from_a_day_on(fresh: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = fresh.store.enterprises["general"]
    text(fresh, "STOP", HOME)
    for day, scope, elsewhere in ((date(2999, 1, 1), "line", True), (NOW.date() - timedelta(days=1), "all_lines", False)):
        until = replace(BY_LINE, revocation_scope_until=day)
        monkeypatch.setitem(fresh.store.enterprises, "general", replace(rules, policy=until))  # type: ignore[arg-type]
        assert text(fresh, "STOP")["scope"] == scope
        assert may_text(fresh, MRN2, OTHER_LINE) is elsewhere
    scopes = {one["number"]: one["scope"] for one in fresh.call("GET", "/v1/sms-consent/report?scope=line", role="manager").json}
    assert scopes[HOME] == "line", "an earlier opt-out keeps its scope"


def test_no_emr_locks_or_overrides_sms_consent(fresh: Service) -> None:
    text(fresh, "STOP")
    states(fresh, MRN1, "M1", CELL, consent__sms="granted")
    assert not may_text(fresh)
    assert by_hand(fresh, {"line": LINE}).status == 200, "SMS consent is not locked although the enterprise syncs"


def test_start_does_not_override_a_denial_by_the_emr(fresh: Service) -> None:
    states(fresh, MRN1, "M1", CELL, consent__sms="denied")
    text(fresh, "START")
    assert not may_text(fresh)


def test_a_stop_stays_with_its_number_when_the_number_moves_to_another_patient(fresh: Service) -> None:
    text(fresh, "STOP", HOME)
    by_hand(fresh, {"line": OTHER_LINE, "reason": "phoned"})
    states(fresh, MRN1, "M1", NEW)
    states(fresh, MRN2, "M2", HOME)
    assert (may_text(fresh, MRN1), may_text(fresh, MRN1, OTHER_LINE)) == (False, False), "the patient's STOP binds the patient for the line"
    assert (may_text(fresh, MRN2), may_text(fresh, MRN2, OTHER_LINE)) == (False, False), "per line, whoever recorded it"
    assert {(one["line"], one["authority"]) for one in fresh.patient(MRN2)["sms_consent"]["opted_out"]} == {
        (LINE, "patient"),
        (OTHER_LINE, "staff"),
    }
    owners = {
        one["line"]: one["patients"] for one in fresh.call("GET", "/v1/sms-consent/report", role="manager").json if one["number"] == HOME
    }
    both = sorted(fresh.patient(one)["id"] for one in (MRN1, MRN2))
    assert {line: sorted(patients) for line, patients in owners.items()} == dict.fromkeys((LINE, OTHER_LINE), both), (
        "the report knows the owner of today, and who is bound"
    )


def test_start_by_the_new_owner_of_a_number_lifts_only_a_texted_stop(fresh: Service) -> None:
    text(fresh, "STOP", HOME)
    states(fresh, MRN1, "M1", NEW)
    states(fresh, MRN2, "M2", HOME)
    assert text(fresh, "START", HOME) == {"recognised": "opt_in", "scope": "line", "confirmation": "opt_in_confirmed", "patients": 1}
    assert may_text(fresh, MRN2)
    by_hand(fresh, {"line": LINE}, MRN2)
    states(fresh, MRN2, "M3", CELL)
    states(fresh, MRN1, "M4", HOME)
    assert not may_text(fresh, MRN1), "an opt-out recorded by staff stays with the number, too"
    assert (text(fresh, "START", HOME)["confirmation"], may_text(fresh, MRN1)) == ("still_opted_out", False)


def test_a_number_that_returns_keeps_its_owners_stop(fresh: Service) -> None:
    text(fresh, "STOP", HOME)
    states(fresh, MRN1, "M1", NEW)
    assert not may_text(fresh)
    states(fresh, MRN1, "M2", NEW, HOME)
    assert not may_text(fresh), "an opted-out number stops texts on this line to every number of the patient"
