"""Unencrypted network traffic is a configuration error unless explicitly allowed."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapters.rehearsal import certificate
from sync.commands import cli
from sync.config import load
from sync.config.plain import exposed, is_local
from sync.config.problems import UsageError
from sync.service import serving
from tests.sync.conftest import EmrSync

TOP = "database: sqlite:///x.db\nenterprises: {clinic: {sync_contact_preferences: true, default_region: US}}\n"
ADT = "sources: {adt: {enterprise: clinic, adapter: hl7v2.mllp, patient_id: {authority: CLINIC, type: MR}, "
EHR = "sources: {ehr: {enterprise: clinic, adapter: rest.athena, practice_id: 1, schedule: {every: 1h}, preset: athenahealth, "
EHR += "patient_id: {authority: CLINIC, type: MR}, "
ADDRESS = "database: postgresql+psycopg://u@{}\nenterprises: {{clinic: {{}}}}\n"
Found = list[tuple[str, str]]


@pytest.fixture
def found(emr_sync: EmrSync, tmp_path: Path) -> Callable[[str], Found]:
    """The findings of ``check-config`` about unencrypted traffic: severity and location."""

    def check(text: str) -> Found:
        (tmp_path / "config.yaml").write_text(text)
        ended = emr_sync("-c", tmp_path / "config.yaml", "check-config", "--json")
        words = ("encrypted", "not verified")
        return [(one["severity"], one["where"]) for one in ended.value["mistakes"] if any(word in one["message"] for word in words)]

    return check


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (TOP + "api: {listen: 0.0.0.0:8080}\n", "api.listen"),
        (TOP + 'api: {listen: "[::]:8080"}\n', "api.listen"),
        (TOP + ADT + "listen: 10.0.0.7:2575}}\n", "sources.adt.listen"),
        (TOP + ADT + "connect: emr.example:2575}}\n", "sources.adt.connect"),
        (TOP + EHR + "base_url: http://emr.example/v1}}\n", "sources.ehr.base_url"),
        (
            TOP
            + EHR
            + "base_url: https://emr.example/v1, auth: {kind: oauth2, token_url: http://emr.example/t, client_id: a, client_secret: b}}}\n",
            "sources.ehr.auth.token_url",
        ),
    ],
)
def test_unencrypted_remote_traffic_is_an_error_unless_explicitly_allowed(found: Callable[[str], Found], text: str, where: str) -> None:
    assert [one for one in found(text) if one[0] == "error"] == [("error", where)]
    meant = text.replace("api: {", "api: {plain: true, ").replace("enterprise: clinic", "enterprise: clinic, plain: true")
    assert [one for one in found(meant) if one[0] == "error"] == []


@pytest.mark.parametrize(
    "text",
    [
        TOP,
        TOP + 'api: {listen: "[::1]:8080"}\n' + ADT + "listen: localhost:2575}}\n",
        TOP + ADT + "connect: 127.0.0.2:2575}}\n",
        TOP + EHR + "base_url: http://127.0.0.1:8080/v1}}\n",
        TOP + EHR + "base_url: https://emr.example/v1}}\n",
    ],
)
def test_local_or_encrypted_traffic_is_valid(found: Callable[[str], Found], text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("address", "severity"),
    [
        ("db.example/emr", "error"),
        ("db.example/emr?sslmode=prefer", "error"),
        ("10.0.0.7:5432/emr?sslmode=allow", "error"),
        ("127.0.0.1/emr?host=db.example", "error"),
        ("db.example/emr?sslmode=disable", "warning"),
        ("db.example/emr?sslmode=require", "warning"),
        ("db.example/emr?sslmode=verify-full", None),
        ("127.0.0.1:5432/emr", None),
        ("localhost/emr", None),
        ("/emr?host=/run/postgresql", None),
        ("a,b/emr?target_session_attrs=read-write", "error"),
        ("127.0.0.1,b/emr", "error"),
        ("127.0.0.1,localhost/emr", None),
        ("/emr?host=127.0.0.1:5432&host=b:5433", "error"),
        ("/emr?host=/run/postgresql,b", "error"),
        ("/emr?host=127.0.0.1:5432,localhost:5433", None),
        ("a,b/emr?target_session_attrs=read-write&sslmode=verify-full", None),
        ("/emr", None),
    ],
)
def test_a_remote_database_server_needs_an_encrypted_connection(address: str, severity: str | None) -> None:
    settings = SimpleNamespace(
        database=f"postgresql+psycopg://u@{address}", tls=None, plain=False, listen=SimpleNamespace(host="127.0.0.1"), feeds={}
    )
    assert [("warning" if one.accepted else "error") for one in exposed(settings)] == ([severity] if severity else [])  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["api", "schedule"])
def test_a_service_with_unencrypted_remote_traffic_does_not_start(tmp_path: Path, role: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TOP + "api: {listen: 0.0.0.0:0}\n" + ADT + "listen: 0.0.0.0:0}}\n")
    with pytest.raises(UsageError) as refused, serving(load(file, {}), [role]):
        pass
    assert "api.listen: keys and answers would leave this machine" in str(refused.value)
    assert "sources.adt.listen: patient data would leave this machine" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_service_starts_unencrypted_if_explicitly_allowed(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TOP + "api: {listen: 0.0.0.0:0, plain: true}\n")
    with serving(load(file, {}), ["api"]) as service:
        assert service.address is not None
        assert ask(service.address.port, "/healthz", None)[0] == 200


@pytest.mark.parametrize(("host", "local"), [("127.8.9.1", True), ("::1", True), ("LOCALHOST", True), ("0.0.0.0", False), ("::", False)])
def test_only_loopback_counts_as_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_the_api_under_tls_sends_hsts(tmp_path: Path) -> None:
    made = certificate.create()
    (tmp_path / "api.pem").write_text(made.certificate)
    (tmp_path / "api.key").write_text(made.key)
    file = tmp_path / "config.yaml"
    file.write_text(TOP + "api: {listen: 127.0.0.1:0, tls: {certificate: file:api.pem, key: file:api.key}}\n")
    with serving(load(file, {}), ["api"]) as service:
        assert service.address is not None
        assert str(service.url).startswith("https://127.0.0.1:")
        answers = [ask(service.address.port, path, made.client()) for path in ("/healthz", "/sign-in", "/v1/patients/pt_0", "/nowhere")]
        assert [header for _, header, _ in answers] == ["max-age=31536000"] * 4


def ask(port: int, path: str, tls: ssl.SSLContext | None, **headers: str) -> tuple[int, str | None, str | None]:
    """Status, HSTS and cookie of a response."""
    connection = HTTPSConnection("127.0.0.1", port, timeout=30, context=tls) if tls else HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("strict-transport-security"), answer.getheader("set-cookie")


@pytest.mark.parametrize(
    ("trusted", "strict"), [("", "max-age=31536000"), (", trusted_proxies: [10.0.0.0/8]", None), (", trusted_proxies: []", None)]
)
def test_only_a_trusted_proxy_can_mark_a_request_as_tls(tmp_path: Path, trusted: str, strict: str | None) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TOP + f"api: {{listen: 127.0.0.1:0{trusted}}}\n")
    with serving(load(file, {}), ["api"]) as service:
        assert service.address is not None
        assert ask(service.address.port, "/healthz", None, X_Forwarded_Proto="https")[1] == strict


def test_an_unusable_certificate_is_an_error(emr_sync: EmrSync, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(TOP + "api: {tls: {certificate: nothing, key: '${HOME}'}}\n")
    ended = emr_sync("-c", tmp_path / "config.yaml", "check-config", "--json")
    assert [(one["where"], one["severity"]) for one in ended.value["mistakes"]] == [("api.tls", "error")]


def test_a_database_file_readable_by_others_is_a_warning(emr_sync: EmrSync, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(TOP)
    for mode, expected in ((0o600, []), (0o640, ["database"]), (0o604, ["database"])):
        (tmp_path / "x.db").touch()
        (tmp_path / "x.db").chmod(mode)
        ended = emr_sync("-c", tmp_path / "config.yaml", "check-config", "--json")
        assert [one["where"] for one in ended.value["mistakes"]] == expected


def test_files_are_created_readable_only_by_their_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["emr-sync", "--version"])
    before = os.umask(0o022)
    try:
        with pytest.raises(SystemExit):
            cli.main()
        (tmp_path / "written").touch()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "written").stat().st_mode) == 0o600
