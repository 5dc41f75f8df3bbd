"""``push`` of a source: every error with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.fhir.notification import PushCredentials
from sync.config import inspect

SECRET = "a secret of 19 chars"
FHIR = {"enterprise": "general", "adapter": "fhir.rest", "base_url": "https://ehr.example/fhir", "patient_id": {"authority": "G"}}
PULLED = FHIR | {"schedule": {"every": "15m"}}
MLLP = {"enterprise": "general", "adapter": "hl7v2.mllp", "listen": "127.0.0.1:0", "patient_id": {"authority": "G"}}


def read(folder: Path, source: dict[str, Any]) -> Any:
    file = folder / "config.yaml"
    file.write_text(json.dumps({"database": "sqlite:///x.db", "enterprises": {"general": {}}, "sources": {"emr": source}}))
    return inspect(file, {})


@pytest.mark.parametrize(
    ("source", "where", "message"),
    [
        (PULLED | {"push": {}}, "sources.emr.push", "either 'secret'"),
        (PULLED | {"push": {"secret": SECRET, "token": SECRET}}, "sources.emr.push", "either 'secret'"),
        (PULLED | {"push": {"secret": "short"}}, "sources.emr.push", "at least 16"),
        (PULLED | {"push": {"secret": [SECRET, ""]}}, "sources.emr.push", "at least 16"),
        (PULLED | {"push": {"token": "ü" * 20}}, "sources.emr.push", "ASCII"),
        (PULLED | {"push": {"token": SECRET, "header": "X Y"}}, "sources.emr.push.header", ""),
        (PULLED | {"push": {"tokens": SECRET}}, "sources.emr.push.tokens", "unknown setting"),
        (FHIR | {"push": {"secret": SECRET}}, "sources.emr.push", "schedule"),
        (FHIR | {"push": {"secret": SECRET}, "schedule": "never"}, "sources.emr.push", "schedule"),
        (MLLP | {"push": {"secret": SECRET}}, "sources.emr.push", "not for hl7v2.mllp"),
    ],
)
def test_every_error_says_where_it_is(tmp_path: Path, source: dict[str, Any], where: str, message: str) -> None:
    found = [one for one in read(tmp_path, source).mistakes if not one.warning]
    assert [one.where for one in found] == [where]
    assert message in found[0].message


def test_a_secret_in_clear_is_a_warning_and_is_never_shown(tmp_path: Path) -> None:
    found = read(tmp_path, PULLED | {"push": {"secret": SECRET}})
    assert [one.where for one in found.mistakes if one.warning and "plain text" in one.message] == ["sources.emr.push.secret"]
    assert SECRET not in repr(found.settings)


def test_a_token_is_sent_in_the_header_that_is_named(tmp_path: Path) -> None:
    found = read(tmp_path, PULLED | {"push": {"token": [SECRET, SECRET[::-1]], "header": "X-EMR-Token"}})
    assert found.settings.feeds["emr"].push == PushCredentials((), (SECRET, SECRET[::-1]), "x-emr-token")
