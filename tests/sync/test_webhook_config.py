"""The ``webhooks`` part of the configuration."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sync.config import load
from sync.config.loading import inspect
from sync.reload import needs_restart

SECRET = f"whsec_{base64.b64encode(b's' * 32).decode()}"
GOOD = {"enterprise": "e", "url": "https://sender.example/hooks", "secret": SECRET}


def written(folder: Path, **changed: str) -> Path:
    settings = "".join(f"    {name}: {value}\n" for name, value in (GOOD | changed).items())
    file = folder / "config.yaml"
    file.write_text(f"database: sqlite:///x.db\nenterprises: {{e: {{}}}}\nwebhooks:\n  tool:\n{settings}")
    return file


def test_an_endpoint_has_its_address_and_its_secrets(tmp_path: Path) -> None:
    found = load(written(tmp_path, secret=f"[{SECRET}, {SECRET}]")).webhooks["tool"]
    assert (found.enterprise, found.url, found.secrets, found.private) == ("e", GOOD["url"], (b"s" * 32, b"s" * 32), False)
    assert "secrets" not in repr(found)


@pytest.mark.parametrize(
    ("changed", "where", "expected"),
    [
        ({"enterprise": "f"}, "webhooks.tool.enterprise", "unknown enterprise"),
        ({"url": "http://sender.example/hooks"}, "webhooks.tool.url", "unencrypted"),
        ({"url": "ftp://sender.example"}, "webhooks.tool.url", "web address"),
        ({"url": "https://me:secret@sender.example/"}, "webhooks.tool.url", "web address"),
        ({"secret": "whsec_short"}, "webhooks.tool.secret", "24 to 64 bytes"),
        ({"secret": "[]"}, "webhooks.tool.secret", ""),
        ({"retries": "3"}, "webhooks.tool.retries", "unknown setting"),
    ],
)
def test_a_setting_that_cannot_be_used_is_an_error_at_its_place(tmp_path: Path, changed: dict[str, str], where: str, expected: str) -> None:
    found = [one for one in inspect(written(tmp_path, **changed)).mistakes if not one.warning]
    assert [one.where for one in found] == [where]
    assert expected in found[0].message


def test_http_is_for_those_who_say_so(tmp_path: Path) -> None:
    assert load(written(tmp_path, url="http://sender.internal/hooks", plain="true", private="true")).webhooks["tool"].private


def test_another_endpoint_needs_a_restart(tmp_path: Path) -> None:
    before, after = load(written(tmp_path)), load(written(tmp_path, url="https://other.example/"))
    assert needs_restart(before, after) == ["webhooks"]
