from __future__ import annotations

import json
import logging

import pytest

from sync import logs
from sync.config import Logging

SECRET = "MRN 4711 Invented"


def test_events_are_json_lines_with_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Logging("info", "json"))
    logs.logger().info("run ended", source="adt", counts={"applied": 1})
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["source"], line["counts"], line["level"]) == ("run ended", "adt", {"applied": 1}, "info")


def test_the_text_of_an_exception_is_never_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Logging("info", "json"))
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


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Logging("warning", "json"))
    logs.logger().info("not this")
    logging.getLogger("somebody.else").info("nor this")
    assert capsys.readouterr().err == ""
