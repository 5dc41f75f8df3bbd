"""The program as its own process: signals and exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PROGRAM = (sys.executable, "-c", "from sync.commands.cli import main; main()")


@contextmanager
def started(arguments: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*PROGRAM, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": str(Path.cwd())}
    )
    watchdog = threading.Timer(100, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


@pytest.fixture
def config(tmp_path: Path, sqlite_url: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(f"database: {sqlite_url}\napi: {{listen: 127.0.0.1:0}}\nenterprises: {{clinic: {{}}}}\n")
    return file


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_until_it_is_stopped_and_exits_with_0(config: Path, number: signal.Signals) -> None:
    with started(["serve", "--json"], config.parent) as process:
        assert process.stdout is not None
        address = urlsplit(json.loads(process.stdout.readline())["address"])
        assert address.hostname is not None
        connection = HTTPConnection(address.hostname, address.port or 0, timeout=30)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(number)
        assert process.wait(60) == 0


def test_the_demo_shows_the_main_workflow_and_exits(tmp_path: Path) -> None:
    with started(["demo", "--once", "--json", "--patients", "300"], tmp_path) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    shown = json.loads(out)
    assert [run["status"] for run in shown["runs"]] == ["done", "done"]
    assert [run["counts"]["applied"] for run in shown["runs"]] == [300, 12]
    assert shown["acknowledged"] == {"AA": 12}
    assert shown["patient"]["toggle"]["reason"] == "mastered_by_emr"
    assert "update this patient in Rehearsal EMR" in shown["refused"]
    answers = [(one["answer"]["decision"], one["answer"]["channel"]) for one in shown["decisions"]]
    assert answers == [("do_not_send", None), answers[1], ("send", "sms"), ("send", "voice")]
    assert shown["decisions"][0]["answer"]["reasons"] == ["do_not_contact"]
    assert shown["decisions"][3]["answer"]["skipped"] == [{"channel": "sms", "reason": "sms_opted_out"}]
    stop = shown["stop"]
    steps = ("before", "after_forged", "after", "while_the_emr_says_yes", "at_the_end")
    assert [stop[step]["decision"] for step in steps] == ["send", "send", "do_not_send", "do_not_send", "do_not_send"]
    assert (stop["forged"], stop["accepted"], stop["as_consents"], stop["as_updates"]) == ([401], [200], 1, 1)
    assert (stop["from_adt"], stop["from_fhir"]) == ("unchanged", {"unchanged": 2})
    assert list(tmp_path.iterdir()) == []


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    with started(["demo", "--once"], tmp_path) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    (shown,) = [part for part in readme.split("\n\n    ") if part.startswith("a STOP and the EMR")]
    table = [line.split() for line in shown.partition("\n\nWithout")[0].splitlines()]
    assert [line.split() for line in out.splitlines()][-len(table) :] == table


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_output_streams_do_not_change_the_exit_code(config: Path, closed: str) -> None:
    command = f'"{sys.executable}" -c "from sync.commands.cli import main; main()" --config {config} runs {closed}'
    ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=100, check=False, cwd=Path.cwd())
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_full_disk_behind_stdout_is_reported_in_one_line(config: Path) -> None:
    command = f'"{sys.executable}" -c "from sync.commands.cli import main; main()" --config {config} check-config >/dev/full'
    ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=100, check=False, cwd=Path.cwd())
    assert (ended.returncode, ended.stderr) == (1, "emr-sync: the disk is full: free up space, then try again\n")
