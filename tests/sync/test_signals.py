"""Stopping a process: once, in time, and only by the right signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from queue import SimpleQueue
from types import FrameType

import pytest

from sync.reload import Request
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


def test_a_second_signal_in_the_middle_of_handling_the_first_changes_nothing() -> None:
    calls: list[str] = []

    def again(frame: FrameType, event: str, _: object) -> None:
        calls.append(frame.f_code.co_name)
        if event == "call" and calls.count("start") == 1 and calls[-1] == "start":
            signal.raise_signal(signal.SIGTERM)

    with ended_by_signals() as ended:
        sys.setprofile(again)
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            sys.setprofile(None)
        assert (ended.is_set(), "start" in calls) == (True, True)


def test_each_sighup_requests_a_reload_while_the_program_serves() -> None:
    asked: SimpleQueue[Request] = SimpleQueue()
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
        text = process.stderr.read()
    assert "stopped before all work was done" in text
    assert "MainThread" in text  # what hangs, and where


AWAKE = """
import signal, threading

others = threading.Thread(target=threading.Event().wait, daemon=True)
others.start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
from sync.signals import ended_by_signals, sleep_until

with ended_by_signals() as ended:
    print("waiting", flush=True)
    sleep_until(ended)
print("done", flush=True)
"""


def test_a_signal_that_does_not_wake_the_main_thread_ends_the_program_all_the_same() -> None:
    """The system may give a signal to any thread, and Python runs its handler in the main thread, once that is awake."""
    with subprocess.Popen([sys.executable, "-c", AWAKE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        overdue = threading.Timer(60, process.kill)
        overdue.start()
        assert process.stdout.readline() == "done\n"
        overdue.cancel()
