from __future__ import annotations

import json
import logging

import pytest

from sync import logs

SECRET = "MRN 4711 Invented"


def test_events_are_json_lines_with_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logs.Logging("info", "json"))
    logs.logger().info("run ended", source="adt", counts={"applied": 1})
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["source"], line["counts"], line["level"]) == ("run ended", "adt", {"applied": 1}, "info")


def test_the_text_of_an_exception_is_never_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logs.Logging("info", "json"))
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        logs.logger().error("went wrong", exc_info=error)
        logging.getLogger("somebody.else").exception("went wrong too")
    written = capsys.readouterr().err
    assert SECRET not in written
    first, second = map(json.loads, written.splitlines())
    assert first["error"].startswith("ValueError at test_logs.py:")
    assert second["error"].startswith("ValueError at test_logs.py:")


def test_library_log_events_contain_only_their_location(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logs.Logging("debug", "json"))
    for name in ("urllib3.connectionpool", "sqlalchemy.engine", "paramiko.transport"):
        logging.getLogger(name).debug("GET /Patient?identifier=%s", SECRET)
        logging.getLogger(name).warning("GET /Patient?identifier=%s", SECRET)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["logger"]) for line in lines] == [
        ("a library reports", name) for name in ("urllib3.connectionpool", "sqlalchemy.engine", "paramiko.transport")
    ]
    assert all(line["at"].startswith("test_logs.py:") for line in lines)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/decisions/batch", "/v1/decisions/…"),
        ("/v1/patients/pt_00000000000000ff/as-of?at=2026", "/v1/patients/pt_00000000000000ff/as-of"),
        ("/v1/patients/MRN4711/history?name=Invented", "/v1/patients/…/history"),
        ("/v1/patients/invented", "/v1/patients/…"),
        ("/v1/sources/genhosp-adt/resync", "/v1/sources/…/resync"),
        ("/MRN4711", "/…"),
        ("/", "/"),
    ],
)
def test_requests_are_logged_without_caller_data_in_urls(capsys: pytest.CaptureFixture[str], path: str, shown: str) -> None:
    logs.configure(logs.Logging("info", "json"))
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", path, "1.1", 200)
    assert json.loads(capsys.readouterr().err)["event"] == f"GET {shown} 200"


def test_the_servers_own_log_handlers_write_no_urls(capsys: pytest.CaptureFixture[str]) -> None:
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [logging.StreamHandler()], False
    logs.configure(logs.Logging("info", "json"))
    access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/MRN4711", "1.1", 200)
    assert json.loads(capsys.readouterr().err)["event"] == "GET /… 200"


def test_events_below_the_level_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logs.Logging("warning", "json"))
    logs.logger().info("not this")
    logging.getLogger("somebody.else").info("nor this")
    assert capsys.readouterr().err == ""
