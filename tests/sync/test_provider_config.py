"""The ``providers`` part of the configuration: every error with its line, and what ``explain-reply`` shows of a webhook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sync.config import inspect
from sync.config.problems import ConfigProblem
from tests.sync.conftest import EmrSync
from tests.sync.providers import FIXTURES, LINE, OWN, PUBLIC


def read(folder: Path, provider: dict[str, Any] | None, public_url: str | None = PUBLIC, name: str = "p") -> tuple[ConfigProblem, ...]:
    """The errors and warnings of a configuration with this provider."""
    configuration: dict[str, Any] = {
        "database": "sqlite:///x.db",
        "api": {"public_url": public_url} if public_url else {},
        "enterprises": {"general": {"default_region": "US"}},
        "sources": {"adt": {"enterprise": "general", "adapter": "hl7v2.mllp", "listen": "127.0.0.1:0", "patient_id": {"authority": "G"}}},
        "providers": {name: provider},
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(configuration))
    return tuple(one for one in inspect(file, {}).mistakes if "secret in plain text" not in one.message)


def given(preset: str, /, **more: Any) -> dict[str, Any]:
    return {"enterprise": "general", "preset": preset, **OWN[preset], **more}


@pytest.mark.parametrize("preset", sorted(OWN))
def test_a_complete_provider_has_no_error(tmp_path: Path, preset: str) -> None:
    assert read(tmp_path, given(preset)) == ()


@pytest.mark.parametrize(
    ("provider", "where", "message"),
    [
        (None, "providers.p", "must be a group"),
        (given("twilio", preset="twillio"), "providers.p.preset", "Did you mean 'twilio'"),
        (given("twilio", enterprise="other"), "providers.p.enterprise", "unknown enterprise"),
        (given("twilio", secret=""), "providers.p.secret", "missing"),
        (given("twilio", secret=[]), "providers.p.secret", "missing"),
        ({"enterprise": "general", "preset": "telnyx", "lines": [LINE]}, "providers.p.public_key", "missing"),
        ({"enterprise": "general", "preset": "aws-sns", "lines": [LINE]}, "providers.p.topics", "missing"),
        ({"enterprise": "general", "preset": "infobip", "password": "x"}, "providers.p.user", "missing"),
        (given("infobip", verify={"scheme": "addresses"}), "providers.p.allow_from", "signs nothing"),
        (given("telnyx", public_key="AAAA"), "providers.p", "32 bytes in base64"),
        (given("aws-sns", topics=["replies"]), "providers.p", "ARNs of SNS topics"),
        (given("telnyx", lines=["CLINIC"]), "providers.p.lines.0", "not a line"),
        (given("twilio", allow_from=["here"]), "providers.p.allow_from.0", "not an IP address"),
        (given("twilio", scope="everything"), "providers.p.scope", "not allowed"),
        (given("twilio", public_url="ftp://x"), "providers.p.public_url", "not a valid URL"),
        (given("twilio", secrets="x"), "providers.p.secrets", "unknown setting"),
        (given("twilio", format={}), "providers.p.format", ""),
        ({"enterprise": "general"}, "providers.p", "'preset', or a 'format'"),
        (given("twilio", verify={"scheme": "rot13"}), "providers.p.verify", "unknown scheme"),
        (given("twilio", verify={"scheme": "hmac", "header": "x", "signed": ["soul"]}), "providers.p.verify", "unknown part"),
        (given("twilio", verify={"scheme": "hmac"}), "providers.p.verify", "needs 'header'"),
    ],
)
def test_each_error_names_its_place_and_its_fix(tmp_path: Path, provider: Any, where: str, message: str) -> None:
    found = read(tmp_path, provider)
    assert any(one.where.startswith(where) and message in one.message for one in found), found


def test_a_provider_that_signs_the_url_needs_to_know_it(tmp_path: Path) -> None:
    for preset in ("twilio", "plivo", "messagebird", "bird"):
        (one,) = read(tmp_path, given(preset), public_url=None)
        assert "public_url" in one.message
    for preset in ("telnyx", "sinch", "vonage", "aws-sns", "infobip", "bandwidth"):
        assert read(tmp_path, given(preset), public_url=None) == ()


def test_a_group_without_lines_is_a_warning(tmp_path: Path) -> None:
    (one,) = read(tmp_path, given("telnyx", lines=[]))
    assert one.warning


def test_a_source_and_a_provider_may_not_share_a_name(tmp_path: Path) -> None:
    assert any("a source has this name" in one.message for one in read(tmp_path, given("twilio"), name="adt"))


def test_a_site_may_bring_its_own_format(tmp_path: Path) -> None:
    reply = {"kind": "reply", "when": {"id": "*"}, "id": "id", "patient": "from", "line": "to", "text": "body"}
    own = {"body": "json", "events": [reply], "verify": {"scheme": "basic"}}
    provider = {"enterprise": "general", "format": own, "user": "u", "password": "p"}
    assert read(tmp_path, provider) == ()
    for wrong in ({"text": ""}, {"time_format": "soon"}, {"kind": "refusal"}, {"kind": "rumour"}, {"id": ""}):
        assert read(tmp_path, provider | {"format": own | {"events": [reply | wrong]}}) != ()


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with every provider, whose database does not exist."""
    providers = {name: given(name) for name in OWN}
    configuration = {
        "database": "sqlite:///nowhere/x.db",
        "api": {"public_url": PUBLIC},
        "enterprises": {"general": {"default_region": "US"}},
        "providers": providers,
    }
    (tmp_path / "config.yaml").write_text(json.dumps(configuration))
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(tmp_path / "config.yaml"))
    return tmp_path


@pytest.mark.shows_values
@pytest.mark.parametrize("preset", sorted(set(OWN) - {"aws-sns"}))
def test_explain_reply_shows_how_a_webhook_would_be_read_and_needs_no_database(configured: Path, emr_sync: EmrSync, preset: str) -> None:
    (file,) = FIXTURES.glob(f"{preset}.reply.*")
    found = emr_sync("explain-reply", "--provider", preset, "--body", file, "--json")
    (one,) = found.value
    assert (found.code, one["event"], one["outcome"], one["patient"], one["line"]) == (0, "reply", "opt_out", "+12175550101", LINE)


@pytest.mark.shows_values
def test_explain_reply_gives_the_reason_of_what_cannot_be_used(configured: Path, emr_sync: EmrSync) -> None:
    (configured / "body").write_bytes(b'{"results": [{"status": {"groupName": "DELIVERED"}}, {"messageId": "m"}, 7]}')
    found = emr_sync("explain-reply", "--provider", "infobip", "--body", configured / "body", "--json").value
    assert [one.get("reason", one["event"]) for one in found] == ["ignored", "event_unknown", "item_is_no_object"]
    assert "event_unknown" in emr_sync("explain-reply", "--provider", "infobip", "--body", configured / "body").out


def test_explain_reply_takes_a_text_or_a_webhook(configured: Path, emr_sync: EmrSync) -> None:
    assert emr_sync("explain-reply", "STOP", "--json").value["outcome"] == "opt_out"
    for wrong in ((), ("STOP", "--provider", "plivo"), ("--provider", "plivo"), ("--provider", "nobody", "--body", configured / "body")):
        assert emr_sync("explain-reply", *wrong).code == 2
    assert "cannot be read" in emr_sync("explain-reply", "--provider", "plivo", "--body", configured / "absent").err
