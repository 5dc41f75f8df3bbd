from __future__ import annotations

from pathlib import Path

import pytest

from store.users.openid import OpenId, RoleRule
from sync.config import inspect, load

TOP = "database: sqlite:///x.db\nenterprises: {clinic: {}, hospital: {}}\n"
WRITTEN = {
    "issuer": "https://login.example/realms/staff",
    "client_id": "emr-sync",
    "client_secret": "${OPENID_SECRET}",
    "public_url": "https://emr-sync.example/",
    "roles": "[{claim: groups, value: desk, enterprise: clinic, role: staff}]",
}


def file(folder: Path, **changes: str) -> Path:
    path = folder / "config.yaml"
    lines = {name: value for name, value in {**WRITTEN, **changes}.items() if value}
    path.write_text(f"{TOP}openid:\n" + "".join(f"  {name}: {value}\n" for name, value in lines.items()))
    return path


def mistakes(path: Path) -> list[tuple[str, str]]:
    found = inspect(path, {"OPENID_SECRET": "s3cret"}).mistakes
    assert "s3cret" not in str(found)
    return [(one.where, one.message) for one in found]


def test_the_identity_provider_is_configured_for_the_service(tmp_path: Path) -> None:
    settings = load(file(tmp_path, scopes="[email]", name_claim="upn", title="Hospital sign-in"), {"OPENID_SECRET": "s3cret"})
    assert settings.openid == OpenId(
        issuer="https://login.example/realms/staff",
        client_id="emr-sync",
        client_secret="s3cret",
        public_url="https://emr-sync.example",
        roles=(RoleRule("groups", "desk", "clinic", "staff"),),
        title="Hospital sign-in",
        scopes=("openid", "email"),
        name_claim="upn",
    )
    assert settings.openid.redirect_uri == "https://emr-sync.example/sign-in/openid/done"
    assert "s3cret" not in repr(settings)


def test_without_a_provider_only_passwords_are_available(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(TOP)
    assert load(path).openid is None


@pytest.mark.parametrize(
    ("changes", "where", "text"),
    [
        ({"issuer": "http://login.example"}, "openid.issuer", "http only on this machine"),
        ({"issuer": "login.example"}, "openid.issuer", "write it like https://"),
        ({"public_url": "https://u@emr-sync.example"}, "openid.public_url", "write it like https://"),
        ({"public_url": "https://emr-sync.example/?a=1"}, "openid.public_url", "write it like https://"),
        ({"public_url": "https://here.example/emr-sync"}, "openid.public_url", "must not have a path"),
        ({"client_id": ""}, "openid.client_id", "missing"),
        ({"client_secret": ""}, "openid.client_secret", "missing"),
        ({"roles": ""}, "openid.roles", "missing"),
        ({"roles": "[]"}, "openid.roles", "nobody could sign in"),
        ({"roles": "[{claim: g, value: v, enterprise: clinc, role: staff}]"}, "openid.roles.0.enterprise", "Did you mean 'clinic'"),
        ({"roles": "[{claim: g, value: v, enterprise: clinic, role: sender}]"}, "openid.roles.0.role", "not a role for people"),
        ({"roles": "[{claim: g, value: v, enterprise: clinic, role: stuff}]"}, "openid.roles.0.role", "Did you mean 'staff'"),
        ({"roles": "[{claim: g, enterprise: clinic, role: staff}]"}, "openid.roles.0.value", "missing"),
        ({"name_clame": "upn"}, "openid.name_clame", "Did you mean 'name_claim'"),
    ],
)
def test_an_error_has_its_location_and_how_to_fix_it(tmp_path: Path, changes: dict[str, str], where: str, text: str) -> None:
    ((found, message),) = mistakes(file(tmp_path, **changes))
    assert found == where
    assert text in message


def test_a_plaintext_secret_is_a_warning(tmp_path: Path) -> None:
    ((where, message),) = mistakes(file(tmp_path, client_secret="written-here"))
    assert where == "openid.client_secret"
    assert "secret in plain text" in message


def test_a_provider_on_this_machine_may_use_http(tmp_path: Path) -> None:
    path = file(tmp_path, issuer="http://127.0.0.1:8081/realms/staff", public_url="http://localhost:8080")
    assert mistakes(path) == []
