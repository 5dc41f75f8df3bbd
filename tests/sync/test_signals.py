"""Stopping a process: once, in time, and only by the right signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from queue import SimpleQueue

import pytest

from sync.signals import ended_by_signals

ENDS = (signal.SIGTERM, signal.SIGINT)
DRAINS = """
import sys
from sync import logs
from sync.logs import Logging
from sync.signals import ended_by_signals

logs.configure(Logging())
with ended_by_signals(drain={drain}) as ended:
    print("waiting", flush=True)
    ended.wait()
    print("draining", flush=True)
    sys.stdin.read()
print("done", flush=True)
"""


def draining(drain: float, *first: signal.Signals) -> subprocess.Popen[str]:
    """A process that was told to stop, and drains until its input ends."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", DRAINS.format(drain=drain)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    for number in first:
        process.send_signal(number)
    assert process.stdout.readline() == "draining\n"
    return process


@pytest.mark.parametrize("again", ENDS)
def test_a_second_signal_does_not_interrupt_the_drain(again: signal.Signals) -> None:
    with draining(60, signal.SIGTERM) as process:
        process.send_signal(again)
        out, err = process.communicate("")
    assert (process.returncode, out, err) == (0, "done\n", "")


def test_each_sighup_requests_a_reload_while_the_program_serves() -> None:
    asked: SimpleQueue[bool] = SimpleQueue()
    with ended_by_signals(reloads=asked) as ended:
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
        assert (asked.qsize(), ended.is_set()) == (3, False)


def test_sighup_changes_nothing_where_nothing_can_be_reloaded() -> None:
    with draining(60, signal.SIGHUP, signal.SIGTERM) as process:
        out, _ = process.communicate("")
    assert (process.returncode, out) == (0, "done\n")


def test_a_drain_that_does_not_finish_is_aborted_and_logged() -> None:
    with draining(0.2, signal.SIGTERM) as process:
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert "stopped before all work was done" in process.stderr.read()
