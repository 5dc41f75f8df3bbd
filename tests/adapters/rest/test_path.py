from __future__ import annotations

from typing import Any

import pytest

from adapters.record.path import compile_path

RECORD: dict[str, Any] = {
    "email": " pat@example.org ",
    "vip": False,
    "order": 2,
    "share": 1.0,
    "none": None,
    "empty": "",
    "died": "0000-00-00 00:00:00",
    "status": {"code": "active", "since": "2026-01-01"},
    "phones": [{"phone": "1", "type": "Home"}, {"phone": "2", "type": "Mobile"}, {"type": "Work"}],
    "groups": [[{"name": "a"}], [{"name": "b"}]],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("email", [("pat@example.org", "email")]),
        ("vip", [("false", "vip")]),
        ("order", [("2", "order")]),
        ("share", [("1", "share")]),
        ("status.code", [("active", "status.code")]),
        ("phones.phone", [("1", "phones[0].phone"), ("2", "phones[1].phone")]),
        ("phones[1].phone", [("2", "phones[1].phone")]),
        ("phones[9].phone", []),
        ("phones[type=Mobile].phone", [("2", "phones[1].phone")]),
        ("groups.name", [("a", "groups[0][0].name"), ("b", "groups[1][0].name")]),
        ("status.code.deeper", []),
        ("status", []),
        ("none", []),
        ("empty", []),
        ("died", []),
        ("missing", []),
        ("email.exists()", [("true", "email")]),
        ("died.exists()", [("false", "died")]),
        ("missing.exists()", [("false", "missing")]),
    ],
)
def test_a_path_finds_texts_and_where_they_stand(path: str, found: list[tuple[str, str]]) -> None:
    assert [(one.text, one.path) for one in compile_path(path)(RECORD)] == found


@pytest.mark.parametrize("path", ["", "  ", "a..b", "a[", "a[b", "9a", "a b", "a.exists(x)"])
def test_a_path_that_cannot_be_read_says_how_to_write_one(path: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        compile_path(path)
