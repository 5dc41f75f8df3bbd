"""What providers send that is odd, late, repeated, forged or unreadable: each has its reason, nothing is lost, nothing is permitted."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from adapters.base import AdapterError
from store.domain.patient import PatientRef
from store.runs.rejections import Rejection
from store.web.api.inbound import InboundAnswer, InboundRequest
from store.web.app import create_app
from store.web.http.lanes import Lanes, WorkerThreads
from store.web.http.problem import ProblemDetails
from sync.inbound import Inbound
from sync.replays import Replays
from tests.store.web.conftest import Reply, running
from tests.sync import providers
from tests.sync.providers import (
    FORM,
    JSON,
    LINE,
    OTHER_LINE,
    PUBLIC,
    SECRET,
    SHARED,
    Clinic,
    Webhook,
    by_hmac,
    clinic,
    shared_url,
    signed,
    webhook,
)

OPEN_TO_HERE = {"enterprise": "general", "preset": "telnyx", "verify": {"scheme": "addresses"}, "allow_from": ["127.0.0.0/8"]}
ELSEWHERE = OPEN_TO_HERE | {"allow_from": ["192.0.2.7"]}


MORE = {"here": OPEN_TO_HERE, "elsewhere": ELSEWHERE}
METHODS = ("", "md5hash", "md5", "sha1", "sha256", "sha512")
VONAGE = {"enterprise": "general", "preset": "vonage", "secret": SECRET}
VONAGES = {f"vonage{method or 'default'}": VONAGE | ({"signature_method": method} if method else {}) for method in METHODS}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def general(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """The clinic, shared by the tests of this module: each has a patient of its own."""
    folder = tmp_path_factory.mktemp("providers")
    with shared_url(request, folder) as url, clinic(url, folder, providers=VONAGES | MORE) as found:
        yield found


def form(provider: str = "twilio", **fields: str) -> Webhook:
    """A reply as a form, signed."""
    defaults = {"MessageSid": f"SM{next(providers.ids)}", "To": LINE, "Body": "STOP"}
    return signed(provider, urlencode(defaults | fields).encode(), FORM)


def newest(general: Clinic, provider: str) -> Rejection:
    return general.runtime.journal.rejections(source=provider)[0]


# --- our own reading, and the provider's


@pytest.mark.parametrize(("text", "hint"), [("SALTA", "STOP"), ("see you then", "STOP"), ("please stop by at noon", "STOP")])
def test_a_providers_stop_adds_to_our_reading(general: Clinic, text: str, hint: str) -> None:
    number = general.patient()
    general.send(form(From=number, Body=text, OptOutType=hint))
    assert not general.may_text(number)
    assert general.runtime.preferences.find("general", PatientRef(value=number)).opt_outs[0].authority == "patient"


@pytest.mark.parametrize("hint", ["", "START", "HELP", "SOMETHING NEW"])
def test_no_hint_takes_our_stop_away(general: Clinic, hint: str) -> None:
    number = general.patient()
    general.send(form(From=number, Body="stop texting me", OptOutType=hint))
    assert not general.may_text(number)


@pytest.mark.parametrize("width", [1_000, 76])
def test_a_long_text_in_base64_hides_no_stop(general: Clinic, width: int) -> None:
    number = general.patient()
    text = base64.b64encode("Hola, please stop texting me. I do not want any more of these \U0001f64f".encode()).decode()
    general.send(form(From=number, Body="\r\n".join(text[place : place + width] for place in range(0, len(text), width))))
    assert not general.may_text(number)


@pytest.mark.parametrize("text", ["STOP" * 16, "https://genhosp.example/" + "a" * 60, "a" * 64])
def test_a_long_text_without_spaces_that_is_no_base64_is_read_as_it_is(general: Clinic, text: str) -> None:
    """The words around it decide."""
    for body, may_text in ((text, True), (f"{text} stop texting me", False)):
        number = general.patient()
        general.send(form(From=number, Body=body))
        assert general.may_text(number) is may_text


def test_a_providers_start_permits_nothing_and_is_shown_to_a_person(general: Clinic) -> None:
    number = general.patient()
    general.send(form(From=number))
    general.send(form(From=number, Body="BACK AGAIN", OptOutType="START"))
    assert not general.may_text(number)
    assert newest(general, "twilio").reason == "opt_in_not_recognised"


def test_an_unclear_reply_suspends_texts_and_waits_for_a_person(general: Clinic) -> None:
    number = general.patient()
    general.send(form(From=number, Body="I will stop by at noon"))
    assert not general.may_text(number)
    assert [one.number for one in general.runtime.preferences.replies.some("general")][:1] == [number]


def test_an_ordinary_reply_leaves_nothing(general: Clinic) -> None:
    number = general.patient()
    before = general.kept()
    general.send(form(From=number, Body="Thanks, see you on Monday"))
    assert general.kept() == before


# --- times


def test_a_late_stop_does_not_undo_a_newer_start(general: Clinic) -> None:
    number, now = general.patient(), datetime.now(UTC)
    general.send(webhook("infobip", number, "START", at=now - timedelta(hours=1)))
    general.send(webhook("infobip", number, "STOP", at=now - timedelta(hours=2)))
    assert general.may_text(number)


def test_a_late_start_does_not_lift_a_newer_stop(general: Clinic) -> None:
    number, now = general.patient(), datetime.now(UTC)
    general.send(webhook("infobip", number, "STOP", at=now - timedelta(hours=1)))
    general.send(webhook("infobip", number, "START", at=now - timedelta(hours=2)))
    assert not general.may_text(number)


@pytest.mark.parametrize("time", ["yesterday", "2026-13-45T00:00:00Z", "2026-11-02T10:42:00"])
def test_an_unreadable_time_stops_a_start_and_not_a_stop(general: Clinic, time: str) -> None:
    number = general.patient()
    general.send(infobip(number, "STOP", time))
    assert not general.may_text(number)
    general.send(infobip(number, "START", time))
    assert not general.may_text(number)
    assert newest(general, "infobip").reason == "time_unreadable"


def infobip(number: Any, text: Any, time: Any = "", line: Any = LINE, number_of_it: str | None = None) -> Webhook:
    message_id = f"m{next(providers.ids)}" if number_of_it is None else number_of_it
    one = {"messageId": message_id, "from": number, "to": line, "text": text, "receivedAt": time}
    return signed("infobip", json.dumps({"results": [one]}).encode(), JSON)


@pytest.mark.parametrize(
    ("provider", "header", "age"),
    [("telnyx", "telnyx-timestamp", 301), ("telnyx", "telnyx-timestamp", -330), ("sinch", "x-sinch-webhook-signature-timestamp", 90_000)],
)
def test_a_signature_outside_its_time_is_refused(general: Clinic, provider: str, header: str, age: int, monkeypatch: Any) -> None:
    number, then = general.patient(), datetime.now(UTC) - timedelta(seconds=age)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return then

    monkeypatch.setattr(providers, "datetime", Clock)
    hook, before = webhook(provider, number), general.kept()
    assert header in hook.headers
    assert general.send(hook).status == 401
    assert general.kept() == before
    assert f'emr_sync_provider_refused_total{{provider="{provider}",reason="signature_outside_tolerance"}}' in general.metrics()


@pytest.mark.parametrize("time", [[], {}, ["2026-11-02T10:42:00.000+0000"], {"at": 1}])
def test_a_start_whose_time_is_no_single_value_lifts_nothing(general: Clinic, time: Any) -> None:
    number = general.patient()
    general.send(infobip(number, "STOP"))
    assert general.send(infobip(number, "START", time)).status == 200
    assert not general.may_text(number)
    assert newest(general, "infobip").reason == "time_unreadable"


def test_a_start_of_the_future_does_not_outlast_a_stop_that_comes_after_it(general: Clinic) -> None:
    number = general.patient()
    general.send(infobip(number, "START", "2099-01-01T00:00:00.000+0000"))
    general.send(webhook("infobip", number, "STOP", at=datetime.now(UTC)))
    assert not general.may_text(number)


# --- lines and numbers


@pytest.mark.parametrize("line", ["CLINIC", "", "12", "not a line"])
def test_a_stop_to_a_line_that_cannot_be_read_counts_for_all_lines(general: Clinic, line: str) -> None:
    number = general.patient()
    general.send(form(From=number, To=line))
    assert not general.may_text(number)
    assert not general.may_text(number, OTHER_LINE)
    assert newest(general, "twilio").reason == "line_unreadable"


@pytest.mark.parametrize("line", ["CLINIC", ""])
def test_a_start_to_a_line_that_cannot_be_read_lifts_nothing(general: Clinic, line: str) -> None:
    number = general.patient()
    general.send(form(From=number))
    general.send(form(From=number, To=line, Body="START"))
    assert not general.may_text(number)


def test_a_channel_that_is_not_in_line_of_is_no_line(general: Clinic) -> None:
    number = general.patient()
    hook = webhook("bird", number)
    general.send(signed("bird", hook.body.replace(b"channel-1", b"channel-9"), JSON))
    assert not general.may_text(number, OTHER_LINE)


@pytest.mark.parametrize("number", ["CLINIC", "12", "+999"])
def test_a_number_that_is_no_number_is_kept_for_a_person(general: Clinic, number: str) -> None:
    assert general.send(form(From=number)).status == 200
    found = newest(general, "twilio")
    assert found.reason == "number_unreadable"
    assert number in general.runtime.journal.rejection(found.id).payload.decode()


@pytest.mark.parametrize("hook", [form(From="", Body="STOP"), infobip(None, "STOP"), infobip({"a": 1}, "STOP"), infobip(True, "STOP")])
def test_a_reply_without_a_number_is_kept_for_a_person(general: Clinic, hook: Webhook) -> None:
    assert general.send(hook).status == 200
    assert newest(general, hook.provider).reason in ("number_missing", "event_unknown", "number_unreadable")


def test_a_start_by_another_channel_opts_nobody_in_to_texts(general: Clinic) -> None:
    number = general.patient()
    general.send(form(From=f"whatsapp:{number}", To=f"whatsapp:{LINE}"))
    assert not general.may_text(number)
    general.send(form(From=f"whatsapp:{number}", To=LINE, Body="START"))
    assert not general.may_text(number)


def test_a_number_without_a_country_code_is_opted_out_and_not_in(general: Clinic) -> None:
    number = general.patient()
    general.send(form(From=number.removeprefix("+1")))
    assert not general.may_text(number)


def test_an_international_number_without_its_plus_is_one_number(general: Clinic) -> None:
    number = general.patient()
    general.send(webhook("plivo", number))
    assert not general.may_text(number)
    general.send(webhook("plivo", number, "START"))
    assert general.may_text(number)


def test_a_short_code_is_a_line(general: Clinic) -> None:
    number = general.patient()
    assert general.send(webhook("messagebird", number, what="short-code")).status == 200
    assert not general.may_text(number, "72975")
    assert general.may_text(number)


# --- ids and repeats


def test_the_same_id_with_another_text_is_another_message(general: Clinic) -> None:
    number = general.patient()
    general.send(form(From=number, Body="hello", MessageSid="SM-same"))
    general.send(form(From=number, Body="STOP", MessageSid="SM-same"))
    assert not general.may_text(number)


def test_a_start_without_an_id_lifts_nothing_since_a_repeat_could_not_be_told(general: Clinic) -> None:
    number = general.patient()
    now = datetime.now(UTC).isoformat()
    general.send(infobip(number, "STOP", "2026-01-05T00:00:00Z", number_of_it="x"))
    hook = infobip(number, "START", now, number_of_it="")
    general.send(hook)
    assert not general.may_text(number)


def test_several_stops_in_one_request_are_all_recorded_and_a_bad_one_fails_none(general: Clinic) -> None:
    first, second = general.patient(), general.patient()
    items = [json.loads(infobip(number, "STOP").body)["results"][0] for number in (first, "CLINIC", second)]
    body = json.dumps({"results": [*items, 7, None, "text"]}).encode()
    assert general.send(signed("infobip", body, JSON)).status == 200
    assert not general.may_text(first)
    assert not general.may_text(second)
    assert general.rejections("infobip").count("item_is_no_object") >= 3


def test_the_same_webhook_many_times_at_once_is_recorded_once(general: Clinic) -> None:
    number = general.patient()
    hook, statuses = webhook("twilio", number), []
    before = general.kept()
    threads = [threading.Thread(target=lambda: statuses.append(general.send(hook).status)) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    after = general.kept()
    assert set(statuses) == {200}
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1, 0, 0, 1, 1]


# --- bodies


@pytest.mark.parametrize(
    ("body", "media", "reason"),
    [
        (b"{not json", JSON, "body_is_not_json"),
        (b"", JSON, "body_is_not_json"),
        (b"From=a&Body=STOP", FORM, "body_is_not_json"),
        (b"[" * 100_000, JSON, "body_is_not_json"),
        (b"{}", JSON, "items_missing"),
        (b"[]", JSON, "items_missing"),
        (b'{"results": [{"messageId": "x"}]}', JSON, "event_unknown"),
        (b'{"results": ' + json.dumps([0] * 1001).encode() + b"}", JSON, "too_many_items"),
    ],
)
def test_a_body_that_cannot_be_used_is_kept_with_its_reason(general: Clinic, body: bytes, media: str, reason: str) -> None:
    assert general.send(signed("infobip", body, media)).status == 200
    assert newest(general, "infobip").reason == reason


def test_json_to_a_provider_that_sends_forms_is_refused(general: Clinic) -> None:
    before = general.kept()
    body = json.dumps({"From": "+12175550101", "Body": "STOP"}).encode()
    assert general.send(signed("twilio", body, FORM)).status == 401
    assert general.send(Webhook("twilio", body, {"content-type": JSON, "X-Twilio-Signature": "AAAA"})).status == 401
    assert general.kept() == before


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_in_another_encoding_is_read(general: Clinic, encoding: str) -> None:
    number = general.patient()
    general.send(signed("infobip", infobip(number, "STOP").body.decode().encode(encoding), JSON))
    assert not general.may_text(number)


def test_bytes_that_are_no_text_do_not_hide_a_stop(general: Clinic) -> None:
    number = general.patient()
    general.send(signed("infobip", infobip(number, "STOP @").body.replace(b"@", b"\xe9"), JSON))
    assert not general.may_text(number)


def test_a_form_in_latin_1_is_read(general: Clinic) -> None:
    number = general.patient()
    hook = form(From=number, Body="Arr\u00eat")
    latin = urlencode({"MessageSid": "SM-latin", "From": number, "To": LINE, "Body": "Arr\u00eat"}, encoding="latin-1").encode()
    text = f"{PUBLIC}/v1/inbound/twilioBodyArr\u00eatFrom{number}MessageSidSM-latinTo{LINE}"
    headers = {"content-type": f"{FORM}; charset=iso-8859-1", "X-Twilio-Signature": by_hmac(SECRET, text.encode(), "sha1")}
    assert general.send(Webhook("twilio", latin, headers)).status == 200
    assert hook.body != latin
    assert not general.may_text(number)


def test_nul_in_a_text_hides_no_stop(general: Clinic) -> None:
    number = general.patient()
    general.send(infobip(number, "STOP\0"))
    assert not general.may_text(number)


@pytest.mark.parametrize("text", ["STOP \ud83d", "I will stop by \ud83d"])
def test_half_an_emoji_hides_no_stop(general: Clinic, text: str) -> None:
    number = general.patient()
    assert general.send(infobip(number, text)).status == 200
    assert not general.may_text(number)


@pytest.mark.parametrize("text", [["STOP"], {"text": "STOP"}])
def test_a_text_that_is_no_text_is_kept_for_a_person(general: Clinic, text: Any) -> None:
    number = general.patient()
    assert general.send(infobip(number, text)).status == 200
    assert newest(general, "infobip").reason == "text_unreadable"


def test_an_overlong_text_is_kept_for_a_person(general: Clinic) -> None:
    number = general.patient()
    assert general.send(infobip(number, "a" * 10_001)).status == 200
    assert newest(general, "infobip").reason == "text_too_long"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(general: Clinic) -> None:
    before = general.kept()
    assert general.send(Webhook("twilio", b"x" * (512 * 1024 + 1), {"content-type": FORM})).status == 413
    assert general.kept() == before


def test_get_is_refused_since_its_url_would_hold_number_and_text(general: Clinic) -> None:
    connection = HTTPConnection("127.0.0.1", general.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/inbound/vonage?msisdn=1&text=STOP")
        assert connection.getresponse().status == 405


FORGED: list[dict[str, str]] = [
    {},
    {"content-type": FORM, "x-twilio-signature": "AAAA"},
    {"content-type": JSON, "authorization": "Basic Ym9iOmJvYg=="},
    {"content-type": FORM, "x-twilio-signature": "\u00ff"},
]


@pytest.mark.parametrize("body", [b"", b"{}", b"From=%2B12175550101&Body=START"])
@pytest.mark.parametrize("headers", FORGED)
def test_an_unknown_provider_is_answered_as_any_other_without_a_signature(general: Clinic, headers: dict[str, str], body: bytes) -> None:
    before = general.kept()
    unknown = general.send(Webhook("nobody", body, headers))
    assert unknown.status == 401
    for known in providers.PROVIDERS:
        answer = general.send(Webhook(known, body, headers))
        assert (answer.status, answer.body, set(answer.headers)) == (401, unknown.body, set(unknown.headers)), known
        assert answer.headers["www-authenticate"] == unknown.headers["www-authenticate"], known
    assert general.kept() == before


def test_a_good_signature_for_another_name_is_refused_and_the_name_is_in_no_metric(general: Clinic) -> None:
    hook = signed("twilio", b"From=%2B12175550101&Body=STOP", FORM)
    assert general.send(Webhook("somebody", hook.body, hook.headers)).status == 401
    assert 'provider="unknown"' in general.metrics()
    assert "somebody" not in general.metrics()


# --- signatures


def test_the_url_is_the_one_outside_the_proxy_with_its_query(general: Clinic) -> None:
    number = general.patient()
    body = form(From=number).body
    hook = signed("twilio", body, FORM, target="twilio?clinic=1&b=%20x")
    assert general.send(Webhook("twilio", body, hook.headers)).status == 401
    assert general.send(Webhook("twilio", body, hook.headers, "?clinic=1&b=%20x")).status == 200
    assert not general.may_text(number)


def test_twilio_may_sign_the_url_with_its_port(general: Clinic) -> None:
    number = general.patient()
    body = form(From=number).body
    with_port = PUBLIC + ":443/v1/inbound/twilio"
    text = with_port + "".join(f"{name}{value}" for name, value in providers.pairs(body))
    headers = {"content-type": FORM, "X-Twilio-Signature": by_hmac(SECRET, text.encode(), "sha1")}
    assert general.send(Webhook("twilio", body, headers)).status == 200


@pytest.mark.parametrize(
    ("settings", "status"), [("key=k1,algorithm=HMAC_SHA256", 200), ("key=k1,algorithm=HMAC_MD5", 401), ("key=k1", 401)]
)
def test_twilio_may_sign_with_the_shared_key_of_a_rule(general: Clinic, settings: str, status: int) -> None:
    body = form(From=general.patient()).body
    text = f"{PUBLIC}/v1/inbound/twilio" + "".join(f"{name}{value}" for name, value in providers.pairs(body))
    headers = {"content-type": FORM, "X-Twilio-Signature": by_hmac(SHARED, text.encode())}
    assert general.send(Webhook("twilio", body, headers | {"X-Twilio-Webhooks-Signature-Settings": settings})).status == status


@pytest.mark.parametrize("right", [True, False])
def test_a_body_of_twilio_that_is_no_form_is_signed_by_its_hash_in_the_url(general: Clinic, right: bool) -> None:
    body = json.dumps({"From": general.patient(), "Body": "STOP", "id": next(providers.ids)}).encode()
    query, before = f"?bodySHA256={hashlib.sha256(body if right else b'').hexdigest()}", general.rejections("twilio")
    signature = by_hmac(SECRET, f"{PUBLIC}/v1/inbound/twilio{query}".encode(), "sha1")
    reply = general.send(Webhook("twilio", body, {"content-type": JSON, "X-Twilio-Signature": signature}, query))
    assert reply.status == (200 if right else 401)
    assert general.rejections("twilio") == (["body_is_not_a_form", *before] if right else before)


@pytest.mark.parametrize("method", METHODS)
def test_each_signature_method_of_vonage(general: Clinic, method: str) -> None:
    """``md5hash`` is the default of an account: a hash of the text and the secret; the others are HMACs."""
    number, provider = general.patient(), f"vonage{method or 'default'}"
    body = webhook("vonage", number).body.partition(b"&sig=")[0]
    text = "".join(f"&{name}={value}" for name, value in providers.pairs(body))
    if method in ("", "md5hash"):
        signature = hashlib.md5((text + SECRET).encode(), usedforsecurity=False).hexdigest()
    else:
        signature = hmac.new(SECRET.encode(), text.encode(), method).hexdigest().upper()
    wrong, right = (Webhook(provider, body + f"&sig={one}".encode(), {"content-type": FORM}) for one in (signature[::-1], signature))
    assert general.send(wrong).status == 401
    assert general.may_text(number)
    assert general.send(right).status == 200
    assert not general.may_text(number)


@pytest.mark.parametrize("header", ["\u00e9", "v1,x", " ", "AAAA" * 5_000])
def test_an_odd_signature_is_just_wrong(general: Clinic, header: str) -> None:
    hook = webhook("telnyx", general.patient())
    odd = hook.headers | {"telnyx-signature-ed25519": header.encode().decode("latin-1")}
    assert general.send(Webhook("telnyx", hook.body, odd)).status == 401


def test_a_provider_without_signatures_is_known_by_its_addresses(general: Clinic) -> None:
    number = general.patient()
    hook = webhook("telnyx", number)
    assert general.send(Webhook("elsewhere", hook.body, {})).status == 401
    assert general.may_text(number)
    assert general.send(Webhook("here", hook.body, {})).status == 200
    assert not general.may_text(number)


# --- Amazon SNS


def sns(number: str, when: datetime | None = None, version: str = "2", **more: str) -> Webhook:
    fields = {"originationNumber": number, "destinationNumber": LINE, "messageBody": "STOP"}
    inner = json.dumps(fields | {"inboundMessageId": str(next(providers.ids))})
    message = providers.envelope(inner, when or datetime.now(UTC), version, **more)
    return Webhook("aws-sns", json.dumps(message).encode(), {"content-type": "text/plain; charset=UTF-8"})


def test_both_versions_of_the_signature_are_read(general: Clinic) -> None:
    for version, status in (("1", 200), ("2", 200), ("3", 401)):
        assert general.send(sns(general.patient(), version=version)).status == status


@pytest.mark.parametrize(
    "more",
    [
        {"TopicArn": "arn:aws:sns:us-east-1:999999999999:replies"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com.evil.test/SimpleNotificationService-1.pem"},
        {"SigningCertURL": "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"},
        {"SigningCertURL": "https://a@sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-1.pem"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com/bucket/SimpleNotificationService-1.pem"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem?x=1"},
        {"SigningCertURL": "https://169.254.169.254/SimpleNotificationService-1.pem"},
        {"SigningCertURL": "https://[::1/SimpleNotificationService-1.pem"},
        {"SigningCertURL": "file:///etc/passwd"},
        {"Type": "Something"},
        {"Timestamp": "2026-01-01T00:00:00.000Z"},
        {"Timestamp": "soon"},
    ],
)
def test_a_message_of_another_topic_host_type_or_time_is_refused_without_fetching(general: Clinic, more: dict[str, str]) -> None:
    number, fetched = general.patient(), list(general.fetched)
    before = general.kept()
    assert general.send(sns(number, **more)).status == 401
    assert general.kept() == before
    assert set(general.fetched) <= {*fetched, providers.CERTIFICATE}


def test_a_subscription_is_confirmed_only_at_sns(general: Clinic) -> None:
    url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    more = {"Type": "SubscriptionConfirmation", "Token": "t"}
    hook = sns("+12175550101", SubscribeURL=url, **more)
    assert general.send(hook).status == 200
    assert general.fetched[-1] == url
    asked = len(general.fetched)
    assert general.send(sns("+12175550101", SubscribeURL="https://evil.test/", **more)).status == 503
    assert general.send(Webhook("aws-sns", hook.body.replace(b"Token=t", b"Token=u"), hook.headers)).status == 401
    assert len(general.fetched) == asked


def test_the_end_of_a_subscription_is_shown_to_a_person(general: Clinic) -> None:
    url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    assert general.send(sns("+12175550101", Type="UnsubscribeConfirmation", Token="t", SubscribeURL=url)).status == 200
    assert newest(general, "aws-sns").reason == "not_a_notification"


@pytest.mark.parametrize("message", ["STOP", "[]", "7", ""])
def test_a_message_that_is_no_reply_is_kept_for_a_person(general: Clinic, message: str) -> None:
    hook = Webhook("aws-sns", json.dumps(providers.envelope(message, datetime.now(UTC))).encode(), {})
    assert general.send(hook).status == 200
    assert newest(general, "aws-sns").reason in ("body_is_not_json", "message_is_no_object")


class Certificates:
    """SNS's own server, for the tests: what it serves, or that it is away."""

    def __init__(self, served: bytes | None) -> None:
        self.served, self.asked = served, 0

    def __call__(self, url: str) -> bytes:
        self.asked += 1
        if self.served is None:
            raise AdapterError("away")
        return self.served


def received(general: Clinic, certificates: Certificates, hook: Webhook) -> int:
    """The status of a request to a process that has no certificate yet."""
    inbound = Inbound(general.runtime, certificates)
    try:
        return inbound.receive(InboundRequest("aws-sns", "/v1/inbound/aws-sns", hook.headers, hook.body, "127.0.0.1")).status
    except ProblemDetails as problem:
        return problem.status


@pytest.mark.parametrize(
    ("served", "status"),
    [
        (providers.certificate(), 200),
        (providers.certificate("sns.us-east-1.amazonaws.com"), 200),
        (providers.certificate("sns.evil.test"), 401),
        (providers.certificate(days=-1), 401),
        (providers.certificate() * 2, 200),
        (b"no certificate", 401),
        (b"", 401),
        (None, 503),
    ],
)
def test_only_a_certificate_of_sns_in_its_time_is_trusted(general: Clinic, served: bytes | None, status: int) -> None:
    assert received(general, Certificates(served), sns(general.patient())) == status


def test_certificates_are_kept_and_few_are_fetched_in_a_minute(general: Clinic) -> None:
    certificates = Certificates(b"no certificate")
    inbound = Inbound(general.runtime, certificates)
    statuses = []
    for number in range(14):
        url = f"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{number}.pem"
        hook = sns("+12175550101", SigningCertURL=url)
        try:
            inbound.receive(InboundRequest("aws-sns", "/", hook.headers, hook.body, "127.0.0.1"))
        except ProblemDetails as problem:
            statuses.append(problem.status)
    assert (statuses, certificates.asked) == ([401] * 10 + [503] * 4, 10)


# --- what a person can do


def test_a_start_that_was_not_recognised_counts_after_its_word_is_configured_with_its_own_time(general: Clinic) -> None:
    number = general.patient()
    general.send(form(From=number))
    general.send(form(From=number, Body="WIEDER", OptOutType="START"))
    rejection = newest(general, "twilio").id
    (first,) = Replays(general.runtime).replay_all([rejection], "operator:pat")
    assert (first["outcome"], first["reason"], first["status"]) == ("rejected", "opt_in_not_recognised", "open")
    rules = general.runtime.preferences.enterprises["general"]
    object.__setattr__(rules, "opt_in_words", rules.opt_in_words | {"WIEDER"})
    (second,) = Replays(general.runtime).replay_all([rejection], "operator:pat")
    assert (second["outcome"], second["status"]) == ("applied", "resolved")
    assert general.may_text(number)


def test_a_replayed_stop_that_was_recorded_changes_nothing(general: Clinic) -> None:
    number = general.patient()
    general.send(form(From=number, To="CLINIC"))
    rejection = newest(general, "twilio").id
    (done,) = Replays(general.runtime).replay_all([rejection], "operator:pat")
    assert (done["outcome"], done["status"]) == ("unchanged", "resolved")


# --- what can be seen


def test_metrics_count_by_provider_and_outcome_and_hold_no_number(general: Clinic) -> None:
    number = general.patient()
    hook = form(From=number)
    for one in (hook, hook, form(From="CLINIC"), form(From=number, Body="hello")):
        general.send(one)
    text = general.metrics()
    for outcome in ("opt_out", "rejected", "nothing", "repeated"):
        assert f'outcome="{outcome}"' in text
    assert number not in text


def test_too_many_at_once_get_503_so_that_the_provider_sends_again(general: Clinic, tmp_path: Path) -> None:
    busy, free = threading.Semaphore(0), threading.Event()

    def receive(request: InboundRequest) -> InboundAnswer:
        busy.release()
        free.wait(20)
        return InboundAnswer(204)

    runtime, lanes = general.runtime, Lanes.create()._replace(inbound=WorkerThreads("few", 1, waiting=0))
    with running(create_app(runtime.preferences, runtime.journal, runtime.keys, receive=receive, lanes=lanes)) as port:
        replies: list[Reply] = []
        other = Clinic(runtime, general.inbound, port)
        first = threading.Thread(target=lambda: replies.append(other.send(Webhook("twilio", b"", {}))))
        first.start()
        assert busy.acquire(timeout=20)
        refused = other.send(Webhook("twilio", b"", {}))
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        free.set()
        first.join()
        assert replies[0].status == 204
