"""A configured, running service with an OpenID Connect provider."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from sync.config import load
from sync.service import serving
from tests.store.web.pages.identity import CLIENT, SECRET, Identity

PUBLIC = "http://localhost:8080"


def configuration(folder: Path, issuer: str) -> Path:
    """A site's configuration. JSON is valid YAML."""
    rule = {"claim": "groups", "value": "desk", "enterprise": "clinic", "role": "staff"}
    openid = {"issuer": issuer, "client_id": CLIENT, "client_secret": "${OPENID_SECRET}", "public_url": PUBLIC, "roles": [rule]}
    settings = {
        "database": "sqlite:///openid.db",
        "api": {"listen": "127.0.0.1:0"},
        "openid": {**openid, "title": "Clinic sign-in"},
        "enterprises": {"clinic": {"display_name": "Clinic"}},
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(settings))
    return file


def test_people_sign_in_with_the_configured_provider(tmp_path: Path) -> None:
    with Identity(lambda: datetime.now(UTC)) as identity:
        identity.person = {"sub": "r-1", "preferred_username": "robin", "groups": ["desk"]}
        identity.redirect_uris.append(f"{PUBLIC}/sign-in/openid/done")
        settings = load(configuration(tmp_path, identity.issuer), {"OPENID_SECRET": SECRET})
        with serving(settings, ["api"]) as service, httpx.Client(base_url=f"http://{service.address}") as browser:
            assert "Sign in with Clinic sign-in" in browser.get("/sign-in").text
            asked = dict(parse_qsl(urlsplit(browser.get("/sign-in/openid").headers["location"]).query))
            answered = httpx.post(f"{identity.issuer}/authorize", data={"asked": urlencode(asked)})
            back = urlsplit(answered.headers["location"])
            entered = browser.get(f"{back.path}?{back.query}")
            assert (entered.status_code, entered.headers["location"]) == (303, "/")
            assert "robin, staff" in browser.get("/patients").text
