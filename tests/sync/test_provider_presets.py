"""Every preset of a messaging provider, over a real socket, on both databases: a good signature, a wrong one, a replay, a retry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from store.domain.patient import PatientRef
from sync.config import provider_format
from tests.sync.providers import LINE, OTHER_LINE, PROVIDERS, REFUSALS, Clinic, Webhook, clinic, shared_url, signed, webhook

GROUPED = ("aws-sns", "telnyx")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def general(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """The clinic, shared by the tests of this module: each has a patient of its own."""
    folder = tmp_path_factory.mktemp("providers")
    with shared_url(request, folder) as url, clinic(url, folder) as found:
        yield found


def test_there_is_a_test_for_every_preset() -> None:
    assert set(provider_format.names()) == set(PROVIDERS)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_preset_names_its_sources_and_what_is_unverified(provider: str) -> None:
    preset = provider_format.preset(provider)
    assert preset.name == provider
    assert preset.sources
    assert preset.unverified


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_signed_stop_stops_texts_from_its_line(general: Clinic, provider: str) -> None:
    number = general.patient()
    assert general.may_text(number)
    reply = general.send(webhook(provider, number))
    assert reply.status == provider_format.preset(provider).built(provider, "").answer.status == 200
    assert not general.may_text(number)
    assert general.may_text(number, OTHER_LINE) is (provider not in GROUPED)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_wrong_signature_is_401_and_leaves_nothing(general: Clinic, provider: str) -> None:
    number = general.patient()
    for spoiled in spoilt(webhook(provider, number)):
        before = general.kept()
        reply = general.send(spoiled)
        assert (reply.status, reply.json["code"]) == (401, "signature_refused")
        assert "www-authenticate" in reply.headers
        assert general.kept() == before
    assert general.may_text(number)


def spoilt(hook: Webhook) -> Iterator[Webhook]:
    """The webhook with another body, with another signature, and without one."""
    if "Authorization" not in hook.headers:
        yield Webhook(hook.provider, hook.body.replace(b"STOP", b"STOQ"), hook.headers)
    signature = {name: value for name, value in hook.headers.items() if "signature" in name.lower() or name == "Authorization"}
    if signature:
        yield Webhook(hook.provider, hook.body, hook.headers | {name: value[:-4] + "AAA=" for name, value in signature.items()})
    yield Webhook(hook.provider, *unsigned(hook))


def unsigned(hook: Webhook) -> tuple[bytes, dict[str, str]]:
    rest = {name: value for name, value in hook.headers.items() if "signature" not in name.lower() and name != "Authorization"}
    return hook.body.split(b"&sig=")[0].replace(b'"Signature"', b'"NoSignature"'), rest


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_replay_changes_nothing(general: Clinic, provider: str) -> None:
    number = general.patient()
    stop, start = webhook(provider, number), webhook(provider, number, "START", at=datetime.now(UTC) + timedelta(minutes=1))
    assert general.send(start).status == general.send(stop).status == 200
    assert not general.may_text(number)
    before = general.kept()
    assert general.send(start).status == general.send(stop).status == 200
    assert general.kept() == before
    assert not general.may_text(number)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_start_lifts_the_stop_of_its_line(general: Clinic, provider: str) -> None:
    number, now = general.patient(), datetime.now(UTC)
    general.send(webhook(provider, number, at=now - timedelta(minutes=2)))
    general.send(webhook(provider, number, "START", hint="START", at=now - timedelta(minutes=1)))
    assert general.may_text(number)
    assert general.may_text(number, OTHER_LINE) is (provider not in GROUPED)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_retry_after_our_503_is_recorded(general: Clinic, provider: str) -> None:
    number = general.patient()
    hook = webhook(provider, number)
    with general.database_down():
        reply = general.send(hook)
        assert (reply.status, reply.json["code"]) == (503, "store_unavailable")
        assert "retry-after" in reply.headers
    assert general.may_text(number)
    assert general.send(hook).status == 200
    assert not general.may_text(number)


@pytest.mark.parametrize("provider", REFUSALS)
def test_a_refused_send_is_evidence_of_an_opt_out(general: Clinic, provider: str) -> None:
    number = general.patient()
    earlier = datetime.now(UTC) - timedelta(minutes=1)
    assert general.send(webhook(provider, number, what="refusal", at=earlier)).status == 200
    assert not general.may_text(number)
    opt_outs = general.runtime.preferences.find("general", ref(number)).opt_outs
    assert {one.authority for one in opt_outs} == {"patient"}
    general.send(webhook(provider, number, "START", hint="START"))
    assert general.may_text(number, LINE)


@pytest.mark.parametrize(("provider", "code"), [("twilio", "30003"), ("telnyx", "40001"), ("vonage", "4"), ("plivo", "30")])
def test_another_failure_to_send_says_nothing(general: Clinic, provider: str, code: str) -> None:
    number = general.patient()
    hook, before = webhook(provider, number, what="refusal"), general.kept()
    codes = {"twilio": b"21610", "telnyx": b"40300", "vonage": b"err-code=9", "plivo": b"ErrorCode=200"}
    new = codes[provider].rpartition(b"=")
    assert general.send(resigned(hook, codes[provider], new[0] + new[1] + code.encode())).status == 200
    assert general.kept() == before
    assert general.may_text(number)


def resigned(hook: Webhook, old: bytes, new: bytes) -> Webhook:
    """The same webhook with another body, signed again."""
    body = hook.body.split(b"&sig=")[0]
    return signed(hook.provider, body.replace(old, new), hook.headers["content-type"])


def ref(number: str) -> Any:
    return PatientRef(value=number)
