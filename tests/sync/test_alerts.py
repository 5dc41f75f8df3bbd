"""People are told once of what waits for them, again while it lasts, and when it is over; over a real webhook and real e-mail."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from store.db.tables_records import WriteBackRow
from store.domain.write_back import WriteBackState
from store.patients.replies import KeptText
from store.patients.webhook_outbox import Outbox
from store.patients.write_backs import COLUMNS
from store.runs.alerts import AlertSubject, SentAlert, SentAlerts
from store.runs.rejections import Rejected
from store.web.api.health import Health
from sync.alerting import LONGEST_RETRY, WaitingCount, Word, delivered, message, step, tried
from sync.alerts import Alerts, target_of
from sync.config.loading import inspect, load
from sync.config.whole import check
from sync.measuring import measured
from sync.notifying import is_known, send
from sync.runtime import Runtime
from tests.functional.program import free_port, hospital, written
from tests.store.site import says
from tests.sync.conftest import EmrSync

ENTERPRISE, SOURCE = "general-hospital", "genhosp-adt"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HELD = AlertSubject("held_changes", ENTERPRISE, SOURCE)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


class Webhook:
    """A server that keeps what it is sent, or refuses it."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if hook.status == 200:
                    hook.received.append(body)
                self.send_response(hook.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"json://operator:swordfish@127.0.0.1:{self._server.server_address[1]}/alerts"

    def lines(self) -> list[str]:
        """All lines of all messages, in order."""
        return [line for one in self.received for line in one["message"].splitlines()]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    found = Webhook()
    yield found
    found.close()


@pytest.fixture
def runtime(tmp_path: Path, database_url: str, webhook: Webhook) -> Iterator[Runtime]:
    configuration = hospital(database_url, free_port(), freshness="1d") | {"alerts": {"to": [webhook.url], "repeat": "1d"}}
    found = Runtime.open(load(written(tmp_path, configuration), {}))
    found.clock = lambda: NOW
    heard(found, NOW)
    yield found
    found.close()


def heard(runtime: Runtime, at: datetime) -> None:
    """The source delivers data."""
    with runtime.database.write(ENTERPRISE) as transaction:
        runtime.journal._state(transaction, SOURCE, ENTERPRISE, "last_heard", at)
    runtime.preferences.freshness.last.changed()


def reject(runtime: Runtime, payload: bytes) -> None:
    with runtime.database.write(ENTERPRISE) as transaction:
        rows = [Rejected("not_hl7", "no MSH", "", "test:1", payload)]
        runtime.journal.reject(transaction, rows, source=SOURCE, enterprise=ENTERPRISE, run_id=None, now=NOW)


def at(runtime: Runtime, now: datetime) -> Alerts:
    """A process that looks at this time; a new one each time, as after a restart."""
    runtime.clock = lambda: now
    return Alerts(runtime)


def test_people_are_told_once_again_each_day_and_at_the_end(runtime: Runtime, webhook: Webhook) -> None:
    at(runtime, NOW).once()
    assert webhook.received == [], "nothing waits"
    reject(runtime, b"MSH of Mary Alert, MRN80001, +12175550177")
    with runtime.database.write(ENTERPRISE) as transaction:
        unclear = KeptText("+12175550177", "+12175550190", "line", "maybe later, Mary", NOW)
        runtime.preferences.replies.add(transaction, ENTERPRISE, [unclear], NOW)
    at(runtime, NOW).once()
    at(runtime, NOW + timedelta(hours=2)).once()
    assert [one["title"] for one in webhook.received] == ["emr-sync: 2 new"]
    assert webhook.lines() == [
        f"new: {ENTERPRISE}, {SOURCE}: 1 open rejection (emr-sync rejections), since 2026-11-30 12:00 UTC",
        f"new: {ENTERPRISE}: replies to review: 1 (emr-sync replies), since 2026-11-30 12:00 UTC",
    ]
    heard(runtime, NOW + DAY)
    at(runtime, NOW + DAY).once()
    assert [one["title"] for one in webhook.received[1:]] == ["emr-sync: 2 still"]
    with runtime.database.write(ENTERPRISE) as transaction:
        runtime.journal.resolve(transaction, runtime.journal.rejections()[0].id)
    at(runtime, NOW + DAY + MINUTE).once()
    at(runtime, NOW + DAY + 2 * MINUTE).once()
    assert webhook.lines()[4:] == [f"resolved: {ENTERPRISE}, {SOURCE}: open rejections"]
    assert [one.subject.kind for one in SentAlerts(runtime.database).read()] == ["replies_to_review"]
    text = json.dumps(webhook.received)
    assert not [one for one in ("Mary", "MRN80001", "5550177", "maybe") if one in text]


def test_a_silent_source_is_told_and_its_return(runtime: Runtime, webhook: Webhook) -> None:
    heard(runtime, NOW - 2 * DAY)
    at(runtime, NOW).once()
    heard(runtime, NOW)
    at(runtime, NOW).once()
    assert webhook.lines() == [
        f"new: {ENTERPRISE}, {SOURCE}: no data for longer than its freshness, since 2026-11-29 12:00 UTC",
        f"resolved: {ENTERPRISE}, {SOURCE}: silent sources",
    ]


def test_what_cannot_be_delivered_is_visible_and_tried_again(runtime: Runtime, webhook: Webhook) -> None:
    reject(runtime, b"x")
    webhook.status = 500
    with capture_logs() as log:
        at(runtime, NOW).once()
        at(runtime, NOW + timedelta(seconds=30)).once()  # not yet again
        at(runtime, NOW + 2 * MINUTE).once()
    failed = [(one["to"], one["attempts"], one["log_level"]) for one in log if one["event"] == "an alert could not be delivered"]
    assert failed == [("json", 1, "error"), ("json", 2, "error")]
    assert "swordfish" not in json.dumps(log, default=str)
    found = Health(runtime.preferences, None, runtime.clock, failures=runtime.failures).readiness()
    assert (found.ready, [(one.kind, one.count) for one in found.failures]) == (True, [("alerts", 2)])
    assert 'emr_sync_failures_total{kind="alerts"} 2.0' in runtime.metrics.text(measured(runtime)).decode()
    webhook.status = 200
    at(runtime, NOW + 2 * MINUTE + LONGEST_RETRY).once()
    assert [one["title"] for one in webhook.received] == ["emr-sync: 1 new"]
    (sent,) = SentAlerts(runtime.database).read()
    assert (sent.attempts, sent.told) == (0, NOW + 2 * MINUTE + LONGEST_RETRY)
    assert "swordfish" not in str(sent)


def test_two_processes_tell_it_once(runtime: Runtime) -> None:
    other, sent = Alerts(runtime, lambda *_: pytest.fail("it is being told already")), []

    def sends(url: str, title: str, text: str) -> bool:
        other.once()  # while the first is still sending
        sent.append(title)
        return True

    reject(runtime, b"x")
    Alerts(runtime, sends).once()
    other.once()
    assert sent == ["emr-sync: 1 new"]


def test_a_process_that_dies_while_it_tells_is_made_up_for(runtime: Runtime, webhook: Webhook) -> None:
    def dies(url: str, title: str, text: str) -> bool:
        raise SystemExit

    reject(runtime, b"x")
    with pytest.raises(SystemExit):
        Alerts(runtime, dies).once()
    at(runtime, NOW + 2 * MINUTE).once()
    assert [one["title"] for one in webhook.received] == ["emr-sync: 1 new"]


def test_each_address_is_told_for_itself_and_a_former_one_forgotten(tmp_path: Path, database_url: str, webhook: Webhook) -> None:
    away = f"json://127.0.0.1:{free_port()}/"
    configuration = hospital(database_url, 0) | {"alerts": {"to": [away, webhook.url]}}
    runtime = Runtime.open(load(written(tmp_path, configuration), {}))
    runtime.clock = lambda: NOW
    reject(runtime, b"x")
    at(runtime, NOW).once()
    at(runtime, NOW + 2 * MINUTE).once()
    assert len(webhook.received) == 1
    assert {one.target: one.attempts for one in SentAlerts(runtime.database).read()} == {target_of(away): 2, target_of(webhook.url): 0}
    runtime.reload(load(written(tmp_path, configuration | {"alerts": {"to": [webhook.url], "about": ["silent_sources"]}}), {}))
    at(runtime, NOW + 3 * MINUTE).once()
    assert webhook.lines()[1:] == [f"resolved: {ENTERPRISE}, {SOURCE}: open rejections"]
    assert {one.target for one in SentAlerts(runtime.database).read()} == {target_of(away)}, "another process may still have it"
    at(runtime, NOW + 91 * DAY).once()
    assert SentAlerts(runtime.database).read() == []
    runtime.close()


def test_processes_with_different_addresses_do_not_make_each_other_repeat(runtime: Runtime, webhook: Webhook) -> None:
    mine = runtime.settings
    others = replace(mine, alerts=replace(mine.alerts, to=(f"{webhook.url}/others",)))
    reject(runtime, b"x")
    for minutes in range(4):
        for settings in (mine, others):
            runtime.settings = settings
            at(runtime, NOW + minutes * MINUTE).once()
    assert [one["title"] for one in webhook.received] == ["emr-sync: 1 new"] * 2


@pytest.mark.parametrize(
    ("told", "tried_at", "attempts", "waits", "word"),
    [
        (None, None, 0, True, Word.NEW),
        (None, None, 0, False, None),
        (NOW - DAY + MINUTE, None, 0, True, None),
        (NOW - DAY, None, 0, True, Word.AGAIN),
        (NOW - MINUTE, None, 0, False, Word.OVER),
        (None, NOW - timedelta(seconds=59), 1, True, None),
        (None, NOW - MINUTE, 1, True, Word.NEW),
        (None, NOW - 3 * MINUTE, 3, True, None),
        (None, NOW - LONGEST_RETRY, 1000, True, Word.NEW),
        (NOW - 2 * DAY, NOW - timedelta(seconds=59), 1, False, None),
        (NOW + DAY, None, 0, True, None),
    ],
)
def test_when_a_line_is_due(told: datetime | None, tried_at: datetime | None, attempts: int, waits: bool, word: Word | None) -> None:
    sent = SentAlert("t", HELD, NOW - 3 * DAY, told, tried_at, attempts)
    found = step("t", [sent], {HELD: WaitingCount(3)} if waits else {}, NOW, DAY)
    assert [line.word for line in found.lines] == ([word] if word else [])
    assert found.forget == ([] if waits or told else [sent])
    assert all(one.attempts == attempts + 1 for one in tried(found.lines, NOW))
    kept, over = delivered(found.lines, NOW)
    assert len(kept) + len(over) == len(found.lines)


def test_a_message_names_numbers_and_sources() -> None:
    found = step("t", [], {HELD: WaitingCount(12, NOW - DAY)}, NOW, DAY)
    text = f"new: {ENTERPRISE}, {SOURCE}: 12 patients with changes that await review (emr-sync runs), since 2026-11-29 12:00 UTC"
    assert message(found.lines) == ("emr-sync: 1 new", text)


@pytest.mark.parametrize("text", ["", "nonsense", "http//x", "file:///etc/passwd", "nosuchservice://x"])
def test_an_address_that_nobody_knows_is_an_error_of_the_configuration(tmp_path: Path, sqlite_url: str, text: str) -> None:
    assert not is_known(text)
    assert not send(text, "title", "text")
    file = written(tmp_path, hospital(sqlite_url, 0) | {"alerts": {"to": ["json://127.0.0.1/", text]}})
    found = [one for one in inspect(file, {}, more=check).mistakes if "Apprise" in one.message]
    assert [(one.where, one.warning) for one in found] == [("alerts.to.1", False)]


@pytest.mark.parametrize(
    ("alerts", "message"),
    [
        ({"to": "json://x"}, "must be a list"),
        ({"about": ["everything"]}, "'everything' is not allowed"),
        ({"repeat": "1s"}, "out of range; must be at least 300s"),
        ({"colour": "red"}, "unknown setting"),
    ],
)
def test_wrong_settings_are_errors(tmp_path: Path, sqlite_url: str, alerts: dict[str, Any], message: str) -> None:
    found = inspect(written(tmp_path, hospital(sqlite_url, 0) | {"alerts": alerts}), {})
    errors = [one for one in found.mistakes if not one.warning]
    assert [(one.where.partition(".")[0], one.message.startswith(message)) for one in errors] == [("alerts", True)]


def test_the_commands_send_a_test_and_list_what_was_told(emr_sync: EmrSync, runtime: Runtime, webhook: Webhook, tmp_path: Path) -> None:
    done = emr_sync("-c", str(tmp_path / "config.yaml"), "alerts", "test", "--json")
    assert (done.code, json.loads(done.out)) == (0, [{"to": "json", "accepted": True}])
    assert [one["title"] for one in webhook.received] == ["emr-sync: test"]
    reject(runtime, b"x")
    at(runtime, NOW).once()
    (told,) = json.loads(emr_sync("-c", str(tmp_path / "config.yaml"), "alerts", "--json").out)
    assert (told["kind"], told["source"], told["to"], told["failed_attempts"]) == ("open_rejections", SOURCE, "json", 0)
    webhook.status = 403
    done = emr_sync("-c", str(tmp_path / "config.yaml"), "alerts", "test")
    assert (done.code, "swordfish" in done.out + done.err) == (1, False)


class Mailbox(socketserver.StreamRequestHandler):
    """A mail server for one message (RFC 5321)."""

    received: list[str]

    def handle(self) -> None:
        self._say("220 mail.example")
        while line := self.rfile.readline().decode().strip():
            if line.upper() == "DATA":
                self._say("354 go on")
                self.received.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
            self._say("221 bye" if line.upper() == "QUIT" else "250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    received: list[str] = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("OneMailbox", (Mailbox,), {"received": received})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield int(server.server_address[1]), received
        server.shutdown()
        thread.join()


def test_an_alert_arrives_by_e_mail() -> None:
    with mail_server() as (port, received):
        assert send(f"mailto://127.0.0.1:{port}?from=emr-sync@clinic.example&to=ops@clinic.example", "emr-sync: 1 new", "new: clinic: x")
    assert "Subject: emr-sync: 1 new" in received[0]
    assert "new: clinic: x" in received[0]


def test_people_are_told_about_opt_outs_that_an_emr_did_not_take_and_disabled_endpoints(
    tmp_path: Path, database_url: str, webhook: Webhook
) -> None:
    sender = {"url": "https://crm.example/changes", "enterprise": ENTERPRISE, "secret": ["whsec_" + "QUJD" * 8]}
    configuration = hospital(database_url, free_port(), freshness="1d") | {"alerts": {"to": [webhook.url]}, "webhooks": {"crm": sender}}
    runtime = Runtime.open(load(written(tmp_path, configuration), {}))
    try:
        heard(runtime, NOW)
        outbox = Outbox(runtime.preferences, "crm", ENTERPRISE)
        outbox.disable("the endpoint answered 410", NOW)
        with runtime.database.write(ENTERPRISE) as transaction:
            runtime.preferences.apply_many(transaction, ENTERPRISE, SOURCE, [says("1", 0, {"language": "en"})], now=NOW)
            row = ("consent.sms", ENTERPRISE, str(WriteBackState.DEAD), NOW, 7, NOW, "refused", None)
            patient = runtime.database.select(transaction, "SELECT id FROM patients", [])[0][0]
            runtime.database.insert(transaction, WriteBackRow, COLUMNS, [(SOURCE, patient, *row)])
        at(runtime, NOW).once()
        assert webhook.lines() == [
            f"new: {ENTERPRISE}, {SOURCE}: 1 opt-out that the EMR did not accept (emr-sync write-backs), since 2026-11-30 12:00 UTC",
            f"new: {ENTERPRISE}, crm: webhook endpoint disabled, 0 messages waiting (emr-sync webhooks), since 2026-11-30 12:00 UTC",
        ]
        found = runtime.metrics.text(measured(runtime)).decode()
        assert 'emr_sync_webhooks{endpoint="crm",state="disabled"} 1.0' in found
        outbox.enable(NOW)
        at(runtime, NOW + MINUTE).once()
        assert webhook.lines()[2:] == [f"resolved: {ENTERPRISE}, crm: disabled webhooks"]
        assert 'emr_sync_webhooks{endpoint="crm",state="disabled"} 0.0' in runtime.metrics.text(measured(runtime)).decode()
    finally:
        runtime.close()
