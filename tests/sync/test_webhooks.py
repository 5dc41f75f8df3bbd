"""Webhooks to senders, received by the public implementation of Standard Webhooks: signed, in order, none lost."""

from __future__ import annotations

import base64
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from store.domain.webhook import WAITS, WebhookMessage, read_secret, signed_headers, wait_after
from store.patients.webhook_outbox import Outbox
from sync.config.settings import ConfiguredWebhook
from sync.metrics import Metrics
from sync.webhook_post import PostResult, is_public, post
from sync.webhooks import LEASE, WebhookSender
from tests.store.site import SYNCED, Site, cell, says

NEW, OLD, WRONG = (f"whsec_{base64.b64encode(text * 32).decode()}" for text in (b"n", b"o", b"w"))
NOW = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)


class Receiver(ThreadingHTTPServer):
    """An endpoint that verifies what it gets, and answers as the test says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.accepted: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.wrong = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks?who=us"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.server.ids.append(self.headers["webhook-id"])
        if not self._is_signed(body):
            self.server.wrong += 1
        elif status == 200:
            self.server.accepted.append(json.loads(body))
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def _is_signed(self, body: bytes) -> bool:
        """As the library verifies it; what a moved clock signed, which it refuses, is compared with the signature that it makes."""
        if self.headers["webhook-signature"] is None:
            return False
        at = datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), UTC)
        if abs(datetime.now(UTC) - at) > timedelta(minutes=4):
            return Webhook(NEW).sign(self.headers["webhook-id"], at, body.decode()) in self.headers["webhook-signature"].split(" ")
        try:
            return Webhook(NEW).verify(body, dict(self.headers)) == json.loads(body)
        except WebhookVerificationError:
            return False

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def site(database: Any) -> Site:
    return Site(database)


class Sending:
    """A sender with a clock of its own. Signatures need the true time, so the clock begins there."""

    def __init__(self, site: Site, url: str, *secrets: str, **options: Any) -> None:
        self.now, self.options = datetime.now(UTC), options
        self.outbox = Outbox(site.store, "tool", site.enterprise)
        self.webhook = ConfiguredWebhook("tool", site.enterprise, url, tuple(map(read_secret, secrets or (NEW,))), private=True)
        self.metrics = Metrics()
        self.start()
        self.sender.run()

    def start(self) -> None:
        """Another process takes over."""
        self.sender = WebhookSender(self.outbox, self.webhook, lambda: self.now, self.metrics, **self.options)

    def later(self, seconds: float = 0) -> int:
        self.now += timedelta(seconds=seconds)
        return self.sender.run()


def change(site: Site, *patients: str, second: int = 0) -> None:
    """One change of each, one after the other."""
    for place, one in enumerate(patients, second):
        site.apply(says(one, place, {"email": (f"p{place}@example.test",)}))


def test_a_change_is_told_with_ids_and_nothing_else(site: Site, receiver: Receiver) -> None:
    site.apply(says("0", 0, {"phones": (cell(),)}))
    sending = Sending(site, receiver.url)
    assert receiver.accepted == [], "an endpoint begins with the next change"
    change(site, "1")
    assert sending.later() == 1
    (found,) = receiver.accepted
    assert (found["type"], set(found), set(found["data"])) == (
        "preferences.changed",
        {"type", "timestamp", "data"},
        {"seq", "patient", "version", "attributes"},
    )
    assert found["data"]["patient"] == site.find("1").id
    assert (sending.later(), sending.outbox.state().waiting, receiver.wrong) == (0, 0, 0)


def test_while_a_secret_is_changed_receivers_of_either_verify(site: Site, receiver: Receiver) -> None:
    sending = Sending(site, receiver.url, OLD, NEW)
    change(site, "1")
    assert sending.later() == 1
    message = WebhookMessage("msg_1", b"{}")
    headers = signed_headers(message, [read_secret(OLD), read_secret(NEW)], datetime.now(UTC))
    assert all(Webhook(one).verify(message.body, headers) == {} for one in (OLD, NEW))
    with pytest.raises(WebhookVerificationError):
        Webhook(WRONG).verify(message.body, headers)


def test_an_endpoint_that_is_given_to_another_enterprise_gets_nothing_about_patients_of_the_former(
    database: Any, receiver: Receiver
) -> None:
    site = Site(database, SYNCED, replace(SYNCED, name="other"))
    before = Sending(site, receiver.url)
    receiver.answers = [500, 500]
    change(site, "1", "2")
    before.later()
    site.enterprise = "other"
    after = Sending(site, receiver.url)
    change(site, "3")
    assert after.later(86_400) == 1
    assert [one["data"]["patient"] for one in receiver.accepted] == [site.find("3").id]
    assert after.outbox.state().waiting == 0


def test_a_failure_is_tried_again_by_the_table_under_the_same_id(site: Site, receiver: Receiver) -> None:
    sending = Sending(site, receiver.url)
    receiver.answers = [500, 302, 404]
    change(site, "1")
    assert sending.later() == 0
    assert sending.later(4) == 0
    assert len(receiver.ids) == 1, "not before its time"
    for wait in (3, 361, 2_161):
        sending.later(wait)
    assert (len(receiver.ids), len(set(receiver.ids)), receiver.wrong) == (4, 1, 0)
    assert len(receiver.accepted) == 1


def test_retry_after_only_makes_the_wait_longer(site: Site, receiver: Receiver) -> None:
    sending = Sending(site, receiver.url)
    receiver.answers, receiver.headers = [503], {"Retry-After": "100"}
    change(site, "1")
    sending.later()
    assert (sending.later(90), sending.later(11)) == (0, 1)
    assert wait_after(2, 0, 1) == WAITS[1]
    assert wait_after(1, 0, 10**9) == timedelta(days=1)


def test_of_one_patient_nothing_overtakes_but_others_go_on(site: Site, receiver: Receiver) -> None:
    sending = Sending(site, receiver.url)
    receiver.answers = [500]
    change(site, "1", "1", "2", "1")
    assert sending.later() == 1
    assert [one["data"]["patient"] for one in receiver.accepted] == [site.find("2").id]
    assert sending.later(6) == 3
    versions = [one["data"]["version"] for one in receiver.accepted if one["data"]["patient"] == site.find("1").id]
    assert versions == sorted(versions)
    assert len(versions) == 3


@pytest.mark.parametrize("attempts", [1, len(WAITS) + 1])
def test_an_endpoint_that_is_gone_or_never_accepts_is_disabled_and_loses_nothing(site: Site, receiver: Receiver, attempts: int) -> None:
    sending = Sending(site, receiver.url)
    receiver.answers = [410] if attempts == 1 else [500] * attempts
    change(site, "1")
    for _ in range(attempts):
        sending.later(90_000 * 1.3)
    state = sending.outbox.state()
    assert len(receiver.ids) == attempts
    assert (state.waiting, state.disabled is not None, bool(state.reason)) == (1, True, True)
    change(site, "2", second=10)
    assert (sending.later(90_000), sending.outbox.state().waiting) == (0, 1), "the feed keeps the rest"
    assert sending.outbox.enable(sending.now) == 1
    assert sending.later() == 2
    assert b'emr_sync_webhook_attempts_total{endpoint="tool",outcome="disabled"} 1.0' in sending.metrics.text()


def test_a_sender_that_is_stopped_leaves_the_rest_to_its_successor_at_once(site: Site, receiver: Receiver) -> None:
    stopped = iter([False, False, False, *[True] * 20])
    sending = Sending(site, receiver.url)
    change(site, *"12345")
    sending.options = {"stopped": stopped.__next__}
    sending.start()
    assert sending.later() < 5
    sending.options = {}
    sending.start()
    sending.later()
    assert len(receiver.accepted) == len(set(receiver.ids)) == 5


def test_after_410_nothing_more_is_sent(site: Site, receiver: Receiver) -> None:
    sending = Sending(site, receiver.url)
    receiver.answers = [200, 410]
    change(site, *"12345")
    assert (sending.later(), len(receiver.ids), sending.outbox.state().waiting) == (1, 2, 4)


class Died(BaseException):
    """The process is gone."""


def test_a_sender_that_dies_at_any_point_loses_nothing_and_keeps_the_order(site: Site, receiver: Receiver) -> None:
    """It dies before or after the endpoint has the message, again and again; its successor goes on."""
    deaths = {3: "before", 7: "after", 8: "after", 15: "before", 21: "after"}
    posts = iter(range(10_000))

    def dying(url: str, *args: Any, **options: Any) -> PostResult:
        death = deaths.get(next(posts))
        if death == "before":
            raise Died
        found = post(url, *args, **options)
        if death == "after":
            raise Died
        return found

    sending, changes = Sending(site, receiver.url, post=dying), 0
    for second in range(0, 30, 5):
        change(site, "1", "2", "3", "1", "2", second=second)
        changes += 5
        for wait in (0, 0, LEASE.total_seconds() + 1):
            try:
                sending.later(wait)
            except Died:
                sending.start()
    assert (sending.later(LEASE.total_seconds() + 1), sending.outbox.state().waiting) == (0, 0)
    by_patient = defaultdict(list)
    for one in receiver.accepted:
        by_patient[one["data"]["patient"]].append(one["data"]["seq"])
    assert sum(len(set(found)) for found in by_patient.values()) == changes, "none is lost"
    assert all(found == sorted(found) for found in by_patient.values()), "in order, repeats included"
    assert len(receiver.accepted) > changes, "what was accepted by a dying sender came again"
    assert next(posts) > max(deaths)


def test_two_senders_share_an_endpoint_without_sending_twice(site: Site, receiver: Receiver) -> None:
    first, second = Sending(site, receiver.url), Sending(site, receiver.url)
    change(site, *(str(number) for number in range(30)))
    threads = [threading.Thread(target=one.later) for one in (first, second)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(receiver.accepted) == len(set(receiver.ids)) == 30


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("::10.0.0.1", False),
        ("::ffff:0:10.0.0.1", False),
        ("fec0::1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_of_the_public_internet_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_a_name_that_leads_into_this_network_is_not_called(receiver: Receiver) -> None:
    url = receiver.url.replace("127.0.0.1", "hooks.example")
    for addresses in (["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], []):
        found = post(url, {}, b"{}", NOW, resolve=lambda host, port, addresses=addresses: addresses)
        assert found.status == 0
    assert post(url, {}, b"{}", NOW, resolve=lambda host, port: ["127.0.0.1"], private=True).status == 200
    assert len(receiver.ids) == 1


def test_a_name_is_resolved_once_so_that_it_cannot_change_after_the_check(receiver: Receiver) -> None:
    asked = []

    def changing(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    post(receiver.url.replace("127.0.0.1", "hooks.example"), {}, b"{}", NOW, resolve=changing, private=True)
    assert asked == ["hooks.example"]


def test_a_redirect_is_not_followed(site: Site, receiver: Receiver) -> None:
    receiver.answers, receiver.headers = [307], {"Location": "http://127.0.0.1:9/internal"}
    assert post(receiver.url, {}, b"{}", NOW, private=True).status == 307
    assert len(receiver.ids) == 1


def test_an_endpoint_that_cannot_be_reached_is_a_failure_without_its_address() -> None:
    found = post("http://127.0.0.1:9/secret-path", {}, b"{}", NOW, private=True)
    assert (found.status, found.failure) == (0, "ConnectionRefusedError")


@pytest.mark.parametrize("text", ["", "whsec_", "x" * 40, "whsec_short", f"whsec_{base64.b64encode(b'x' * 65).decode()}", NEW[6:]])
def test_a_secret_that_the_specification_does_not_allow_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        read_secret(text)


def test_a_body_is_small(site: Site, receiver: Receiver) -> None:
    sending = Sending(site, receiver.url)
    change(site, "1")
    sending.later()
    assert len(json.dumps(receiver.accepted[0])) < 20_000
