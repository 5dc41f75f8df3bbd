"""Every decision policy with each of its values, over HTTP: changed at run time, and from the configuration file."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.patients.preferences import Preferences
from store.preference import Phone
from store.runs.runs import Journal
from tests.functional.program import emr_sync, free_port, hospital, serving, written
from tests.store.site import BY_LINE, HOSPITAL, LINE, OTHER_LINE, mr, says

NOW = datetime.now(UTC)
ADT, SILENT = "genhosp-adt", "clinic-adt"
CELLS = {name: f"+1217555010{place}" for place, name in enumerate(("plain", "texts", "calls", "refuses", "topics", "stale", "silenced"))}
HOME, NEW = "+12175550120", "+12175550121"
MAIL = "pat@example.test"


class Case(NamedTuple):
    """A decision request about a patient, and its answer: ``channel address`` or the reasons against sending."""

    patient: str
    ask: dict[str, Any]
    answer: str


def ask(patient: str, answer: str, kind: str = "automation", **more: Any) -> Case:
    return Case(patient, {"message_type": kind, "channels": ["sms", "voice", "email"], "line": LINE} | more, answer)


def by(patient: str, channel: str) -> str:
    return f"{channel} {MAIL if channel == 'email' else CELLS[patient]}"


CHOSEN = {"preferred_method": "sms"}
NUMBER = {"preferred_phone": HOME}
NOT_PREFERRED = "not_preferred"
POLICIES: dict[str, dict[Any, list[Case]]] = {
    "when_stale": {
        "flag": [ask("stale", by("stale", "sms")), ask("plain", by("plain", "sms"))],
        "refuse": [ask("stale", "source_stale"), ask("stale", "source_stale", "broadcast"), ask("plain", by("plain", "sms"))],
    },
    "when_preferred_impossible": {
        "refuse": [ask("texts", "sms_opted_out, not_preferred"), ask("texts", by("texts", "sms"), line=OTHER_LINE)],
        "next": [ask("texts", by("texts", "voice")), ask("texts", by("texts", "sms"), line=OTHER_LINE), ask("silenced", NOT_PREFERRED)],
    },
    "appointment_may_lift_dnc": {
        False: [
            ask("refuses", "do_not_contact"),
            ask("refuses", "do_not_contact", appointment=CHOSEN),
            ask("refuses", "do_not_contact", appointment=NUMBER),
            ask("refuses", by("refuses", "sms"), "manual", appointment=CHOSEN),
        ],
        True: [
            ask("refuses", "do_not_contact"),
            ask("refuses", by("refuses", "sms"), appointment=CHOSEN),
            ask("refuses", f"voice {HOME}", appointment=NUMBER),
            ask("refuses", "do_not_contact", appointment={"preferred_method": "none"}),
        ],
    },
}
DEFAULTS = {"when_stale": "flag", "when_preferred_impossible": "refuse", "appointment_may_lift_dnc": False}
WHATEVER = [
    # an appointment's method or number overrides the patient's
    ask("calls", by("calls", "voice")),
    ask("calls", by("calls", "sms"), appointment=CHOSEN),
    ask("calls", f"voice {HOME}", appointment=NUMBER),
    ask("calls", f"voice {NEW}", appointment={"preferred_phone": NEW}),
    ask("calls", by("calls", "email"), appointment={"preferred_method": "email"}),
    ask("silenced", by("silenced", "sms"), appointment=CHOSEN),
    ask("calls", by("calls", "sms"), "broadcast", appointment={"preferred_method": "email"}),
    ask("plain", f"sms {CELLS['plain']}", "campaign", appointment=NUMBER),
    ask("plain", by("plain", "sms"), "manual", appointment={"preferred_method": "voice"}),
    # topics: by channel, on all channels, and ignored by messages that are not automations
    ask("topics", by("topics", "voice"), topic="billing"),
    ask("topics", "topic_declined", topic="recalls"),
    ask("topics", by("topics", "sms"), topic="announcements"),
    *(ask("topics", by("topics", "sms"), kind, topic="recalls") for kind in ("broadcast", "campaign", "manual")),
    # a refusal of automations does not stop other messages; a patient who opted out of texts is called: the worked example
    *(ask("refuses", by("refuses", "sms"), kind) for kind in ("broadcast", "campaign", "manual")),
    *(ask("texts", by("texts", "voice"), kind, channels=["sms", "voice"]) for kind in ("broadcast", "campaign", "manual")),
]


class Running(NamedTuple):
    """The service and two keys for it."""

    base: str
    sender: str
    person: str

    def call(self, method: str, path: str, body: Any, key: str) -> Any:
        request = urllib.request.Request(
            self.base + path,
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answered:
                return json.loads(answered.read())
        except urllib.error.HTTPError as refused:
            return json.loads(refused.read())

    def wrong(self, cases: list[Case]) -> list[tuple[Case, str]]:
        """The cases with a wrong answer, requested in one batch."""
        asks = [{"patient": {"authority": "GENHOSP", "value": one.patient}, **one.ask} for one in cases]
        answers = self.call("POST", "/v1/decisions/batch", asks, self.sender)
        results = [f"{one['channel']} {one['address']}" if one["decision"] == "send" else ", ".join(one["reasons"]) for one in answers]
        return [(case, answer) for case, answer in zip(cases, results, strict=True) if answer != case.answer]

    def reply(self, body: str, patient: str, line: str = LINE) -> Any:
        return self.call("POST", "/v1/sms-replies", {"line": line, "from": CELLS[patient], "body": body}, self.sender)

    def may_text(self, patient: str, line: str = LINE) -> bool:
        return not self.wrong([ask(patient, by(patient, "sms"), "broadcast", line=line)])


def seed(url: str) -> None:
    """Creates patients of two sources, one of which was last received two days ago."""
    sources = (Source(ADT, "ADT"), Source(SILENT, "Clinic", timedelta(hours=1)))
    database = Database.open(url)
    store, journal = Preferences(database, {HOSPITAL: Enterprise(HOSPITAL, syncs=True, sources=sources, policy=BY_LINE)}), Journal(database)
    stated: dict[str, dict[str, Any]] = {
        "texts": {"preferred_method": "sms"},
        "calls": {"preferred_method": "voice"},
        "refuses": {"do_not_contact": "yes"},
        "silenced": {"preferred_method": "none"},
        "topics": {"topic.billing.sms": "denied", **{f"topic.recalls.{channel}": "denied" for channel in ("sms", "voice", "email")}},
    }
    for name, number in CELLS.items():
        source, received = (SILENT, NOW - timedelta(days=2)) if name == "stale" else (ADT, NOW)
        phones = (Phone(number, "cell", number, 1, textable=True), Phone(HOME, "home", HOME))
        item = says((mr(name),), 0, {"phones": phones, "email": (MAIL,), **stated.get(name, {})}, evidence=name)
        with database.write(HOSPITAL) as transaction:
            store.apply_many(transaction, HOSPITAL, source, [item], now=received)
            journal.mark_received(transaction, source, HOSPITAL, now=received)
    store.record_reply(HOSPITAL, LINE, CELLS["texts"], "STOP", NOW, NOW)
    database.close()


@contextmanager
def running(folder: Path, url: str, **enterprise: Any) -> Iterator[Running]:
    """``emr-sync serve`` over these patients."""
    configuration = hospital(url, free_port())
    configuration["enterprises"][HOSPITAL] |= {"revocation_scope": "line"} | enterprise
    silent = configuration["sources"][ADT] | {"listen": f"127.0.0.1:{free_port()}", "freshness": "1h"}
    configuration["sources"][SILENT] = silent
    config, listen = written(folder, configuration), configuration["api"]["listen"]
    made = [emr_sync(config, "keys", "create", role, "--enterprise", HOSPITAL, "--role", role)["key"] for role in ("sender", "enterprise")]
    with serving(config, int(listen.rpartition(":")[2]), "--only", "api"):
        yield Running(f"http://{listen}", *made)


@pytest.mark.timeout(300)
def test_a_policy_changed_at_run_time_changes_the_next_decision(database_url: str, tmp_path: Path) -> None:
    seed(database_url)
    with running(tmp_path, database_url) as service:
        assert service.wrong(WHATEVER + [case for name, value in DEFAULTS.items() for case in POLICIES[name][value]]) == []
        for name, cases in POLICIES.items():
            for value in (*cases, DEFAULTS[name]):
                assert service.call("PUT", "/v1/settings", {name: value}, service.person)[name] == value
                assert service.wrong(cases[value] + WHATEVER) == [], f"{name}: {value}"
        opted_in_by_hand(service)


def opted_in_by_hand(service: Running) -> None:
    """``staff_may_record_opt_in``, off and on."""
    patient = service.call("POST", "/v1/patients/lookup", {"value": "texts"}, service.person)["id"]
    opt_in = {"kind": "opt_in", "line": LINE, "number": CELLS["texts"], "reason": "asked at the desk"}
    assert service.call("POST", f"/v1/patients/{patient}/sms-consent", opt_in, service.person)["code"] == "opt_in_off"
    assert not service.may_text("texts")
    service.call("PUT", "/v1/settings", {"staff_may_record_opt_in": True}, service.person)
    opened = service.call("POST", f"/v1/patients/{patient}/sms-consent", opt_in, service.person)
    assert opened["sms_consent"]["display"] == "Opted In"
    assert service.may_text("texts")


@pytest.mark.timeout(300)
def test_a_policy_in_the_configuration_file_applies_from_startup(database_url: str, tmp_path: Path) -> None:
    seed(database_url)
    policy = {"when_stale": "refuse", "when_preferred_impossible": "next", "appointment_may_lift_dnc": "true"}
    chosen = {"policy": policy, "revocation_scope_until": str(NOW.date() - timedelta(days=2)), "opt_in_words": ["RESUME"]}
    with running(tmp_path, database_url, **chosen) as service:
        cases = [
            case for name, value in (("when_stale", "refuse"), ("when_preferred_impossible", "next")) for case in POLICIES[name][value]
        ]
        assert service.wrong(cases + POLICIES["appointment_may_lift_dnc"][True]) == []
        assert (service.reply("STOP", "plain")["scope"], service.may_text("plain", OTHER_LINE)) == ("all_lines", False)
        assert (service.reply("START", "plain")["recognised"], service.may_text("plain")) == (None, False)
        assert (service.reply("resume", "plain")["confirmation"], service.may_text("plain")) == ("opt_in_confirmed", True)
        assert not service.may_text("plain", OTHER_LINE)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("until", [None, NOW.date() + timedelta(days=3)])
def test_until_its_last_day_the_scope_line_applies_a_stop_to_its_line_only(sqlite_url: str, tmp_path: Path, until: Any) -> None:
    seed(sqlite_url)
    with running(tmp_path, sqlite_url, **({"revocation_scope_until": str(until)} if until else {})) as service:
        assert service.reply("STOP", "plain")["scope"] == "line"
        assert (service.may_text("plain"), service.may_text("plain", OTHER_LINE)) == (False, True)
