"""``POST /v1/opt-outs``, unsubscribe links and the one-click address, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from store.patients.unsubscribe import LONGEST, UnsubscribeLink, UnsubscribeLinks
from store.web.app import create_app
from tests.factories import sealing
from tests.store.web.conftest import CELL, LINE, Reply, Service, exchange, running

MAIL, PUBLIC = "pat@example.test", "https://contact.genhosp.example"
ONE_CLICK = b"List-Unsubscribe=One-Click"
BOUNDARY = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
FORM = {"content-type": "application/x-www-form-urlencoded"}


def allowed(service: Service, channel: str, value: str = "MRN1") -> bool:
    """Whether a broadcast may go out by this channel."""
    ask = {"patient": {"value": value}, "message_type": "broadcast", "channels": [channel], "line": LINE}
    return bool(service.call("POST", "/v1/decisions", ask).json["decision"] == "send")


@pytest.mark.parametrize(
    ("body", "channel", "scope"),
    [
        ({"channel": "voice", "address": CELL, "how": "key_press"}, "voice", "all_lines"),
        ({"channel": "voice", "address": "(217) 555-0101", "how": "spoken"}, "voice", "all_lines"),
        ({"channel": "email", "address": " PAT@example.test", "how": "unsubscribe", "at": "no time"}, "email", "all_lines"),
        ({"channel": "email", "address": MAIL, "how": "complaint", "topic": "recall"}, "email", "topic"),
        ({"channel": "sms", "address": CELL, "how": "provider_refusal", "line": LINE}, "sms", "line"),
        ({"channel": "sms", "address": CELL, "how": "web_form", "all_lines": True}, "sms", "all_lines"),
    ],
)
def test_an_opt_out_by_any_means_closes_its_channel(fresh: Service, body: dict[str, Any], channel: str, scope: str) -> None:
    assert allowed(fresh, channel)
    reply = fresh.call("POST", "/v1/opt-outs", body)
    assert (reply.status, reply.json["scope"], reply.json["new"]) == (200, scope, True)
    assert not allowed(fresh, channel)
    assert fresh.call("POST", "/v1/opt-outs", body).json["new"] is False


@pytest.mark.parametrize(
    "change",
    [
        {"channel": "fax"},
        {"channel": "voice", "line": LINE},
        {"channel": "email", "all_lines": True},
        {"how": "telepathy"},
        {"address": ""},
        {"address": "x" * 321},
        {"address": "a\0b"},
        {"line": LINE, "all_lines": True},
        {"channel": "sms", "how": "web_form"},
        {"channel": "sms", "line": "CLINIC"},
        {"address": "12"},
        {"topic": ""},
        {"extra": 1},
    ],
)
def test_a_wrong_opt_out_is_refused_and_says_where(service: Service, change: dict[str, Any]) -> None:
    reply = service.call("POST", "/v1/opt-outs", {"channel": "voice", "address": CELL, "how": "key_press"} | change)
    assert reply.status == 422
    assert CELL not in reply.body.decode()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"message_type": "campaign", "category": "marketing", "topic": "recall"}, ("campaign", "recall", "marketing")),
        ({"category": "advice"}, (None, None, None)),
        ("a text\0", (None, None, None)),
        (None, (None, None, None)),
    ],
)
def test_the_message_that_an_opt_out_answered_is_kept_and_never_loses_or_narrows_it(fresh: Service, given: Any, kept: Any) -> None:
    body = {"channel": "voice", "address": CELL, "how": "key_press", "in_reply_to": given}
    assert fresh.call("POST", "/v1/opt-outs", body).json["scope"] == "all_lines"
    assert not allowed(fresh, "voice")
    (row,) = fresh.call("GET", "/v1/sms-consent/report?channel=voice", role="enterprise").json
    assert tuple(row["in_reply_to"].get(name) for name in ("message_type", "topic", "category")) == kept


def test_what_staff_report_is_theirs_and_shown_with_its_address(fresh: Service) -> None:
    fresh.call("POST", "/v1/opt-outs", {"channel": "email", "address": MAIL, "how": "other"}, role="staff")
    (one,) = fresh.patient()["opted_out"]
    assert (one["channel"], one["address"], one["authority"], one["on_file"]) == ("email", MAIL, "staff", True)
    assert fresh.patient()["sms_consent"]["display"] == "Opted In"


def test_an_opt_out_is_lifted_only_where_the_policy_allows_it(fresh: Service) -> None:
    fresh.call("POST", "/v1/opt-outs", {"channel": "email", "address": MAIL, "how": "web_form", "topic": "recall"})
    fresh.call("POST", "/v1/opt-outs", {"channel": "email", "address": MAIL, "how": "web_form"})
    path, body = f"/v1/patients/{fresh.patient()['id']}/opt-ins", {"channel": "email", "reason": "asked at the desk"}
    assert fresh.call("POST", path, body, role="staff").json["code"] == "opt_in_off"
    assert fresh.call("PUT", "/v1/settings", {"staff_may_record_opt_in": True}, role="enterprise").status == 200
    assert fresh.call("POST", path, body, role="staff").json["opted_out"] == []
    assert allowed(fresh, "email")
    fresh.call("POST", "/v1/opt-outs", {"channel": "email", "address": MAIL, "how": "web_form"})
    assert not allowed(fresh, "email")


def test_one_at_an_address_that_several_share_cannot_be_lifted_for_one(fresh: Service) -> None:
    fresh.call("POST", "/v1/opt-outs", {"channel": "voice", "address": CELL, "how": "key_press"})
    fresh.call("PUT", "/v1/settings", {"staff_may_record_opt_in": True}, role="enterprise")
    path = f"/v1/patients/{fresh.patient()['id']}/opt-ins"
    assert fresh.call("POST", path, {"channel": "voice", "reason": "asked"}, role="staff").status == 422
    assert not allowed(fresh, "voice")


def test_the_report_lists_a_channel_by_itself(fresh: Service) -> None:
    fresh.call("POST", "/v1/opt-outs", {"channel": "email", "address": MAIL, "how": "web_form"})
    report = "/v1/sms-consent/report"
    assert fresh.call("GET", report, role="auditor").json == []
    assert [one["number"] for one in fresh.call("GET", f"{report}?channel=email", role="auditor").json] == [MAIL]
    assert fresh.call("GET", f"{report}?channel=fax", role="auditor").status == 422


# --- links


@pytest.fixture
def linked(fresh: Service) -> Iterator[Service]:
    """The same store behind a service that knows its public address."""
    with running(create_app(fresh.store, fresh.journal, fresh.keys, public_url=PUBLIC)) as port:
        fresh.port = port
        yield fresh


def link(service: Service, **body: str) -> str:
    """The path of a new link for the patient's address."""
    reply = service.call("POST", "/v1/opt-outs/links", {"address": MAIL} | body)
    assert reply.status == 200
    headers = reply.json["headers"]
    assert headers == {"List-Unsubscribe": f"<{reply.json['url']}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return urlsplit(reply.json["url"]).path


def click(service: Service, path: str, method: str = "POST", body: bytes = ONE_CLICK, **headers: str) -> Reply:
    connection = HTTPConnection("127.0.0.1", service.port, timeout=20)
    try:
        return exchange(connection, method, path, body, headers or FORM)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "media"), [(ONE_CLICK, FORM["content-type"]), (BOUNDARY, "multipart/form-data; boundary=x"), (ONE_CLICK, "")]
)
def test_one_click_unsubscribes_without_key_cookie_or_redirect(linked: Service, body: bytes, media: str) -> None:
    path = link(linked)
    assert MAIL.split("@")[0] not in path
    reply = click(linked, path, body=body, **({"content-type": media} if media else {"accept": "*/*"}))
    assert (reply.status, "set-cookie" in reply.headers) == (200, False)
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert not allowed(linked, "email")
    assert click(linked, path).status == 200


def test_opening_a_link_changes_nothing_and_shows_one_button(linked: Service) -> None:
    reply = click(linked, link(linked), "GET", b"")
    assert (reply.status, reply.body.count(b"<button>")) == (200, 1)
    assert MAIL.encode() not in reply.body
    assert allowed(linked, "email")


@pytest.mark.parametrize("body", [b"", b"List-Unsubscribe=No", b"x=One-Click", b"{}"])
def test_a_post_of_something_else_changes_nothing(linked: Service, body: bytes) -> None:
    assert click(linked, link(linked), body=body).status == 400
    assert allowed(linked, "email")


def test_a_link_with_a_topic_unsubscribes_from_that_topic(linked: Service) -> None:
    click(linked, link(linked, topic="recall"))
    (one,) = linked.patient()["opted_out"]
    assert one["topic"] == "recall"


@pytest.mark.parametrize(
    "spoil", [lambda path: path[:-2] + "xx", lambda path: path[:30], lambda path: "/unsubscribe/%00", lambda path: path + "A" * LONGEST]
)
def test_a_link_that_we_did_not_make_is_404(linked: Service, spoil: Any) -> None:
    path = spoil(link(linked))
    assert [click(linked, path, method, ONE_CLICK).status for method in ("GET", "POST")] == [404, 404]
    assert allowed(linked, "email")


def test_a_body_that_is_too_large_is_refused(linked: Service) -> None:
    assert click(linked, link(linked), body=ONE_CLICK + b"x" * 20_000).status == 413


def test_a_link_needs_a_public_address_and_a_key(service: Service) -> None:
    reply = service.call("POST", "/v1/opt-outs/links", {"address": MAIL})
    assert (reply.status, reply.json["code"]) == (409, "setting_refused")
    assert UnsubscribeLinks(None, PUBLIC).read("AAAA") is None


def test_a_link_of_a_key_that_was_replaced_works_as_long_as_the_key_is_kept() -> None:
    asked = UnsubscribeLink("general", MAIL, None)
    old = UnsubscribeLinks(sealing(), PUBLIC)
    token = old.url(asked).rpartition("/")[2]
    assert old.read(token) == asked
    keys = sealing()
    newer = type(keys)("new", {"new": b"n" * 32, **keys.keys})
    assert UnsubscribeLinks(newer, PUBLIC).read(token) == asked
    assert UnsubscribeLinks(type(keys)("new", {"new": b"n" * 32}), PUBLIC).read(token) is None


@pytest.mark.parametrize("address", ["", "no address", "a@b, c@d", "a@b\r\nBcc: c@d"])
def test_a_link_for_no_address_is_refused(linked: Service, address: str) -> None:
    assert linked.call("POST", "/v1/opt-outs/links", {"address": address}).status == 422
