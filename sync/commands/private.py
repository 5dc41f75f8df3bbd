"""Keeps identifiers and patients' texts off the command line: ``-`` reads them from standard input.

Arguments appear in the process list and in the shell history, where others on the machine may read them.
"""

from __future__ import annotations

import sys

from sync.config.problems import UsageError

STDIN = "-"
HINT = "or - to read it from standard input"
EMPTY = "standard input is empty; put the value on a line of its own, like emr-sync patient - < FILE"


def line(value: str | None) -> str | None:
    """Callback for one argument or option: its value, or the first line of standard input."""
    if value != STDIN:
        return value
    if not (found := sys.stdin.readline().strip()):
        raise UsageError(EMPTY)
    return found


def lines(values: list[str] | None) -> list[str] | None:
    """Callback for an argument with several values: ``-`` stands for all lines of standard input."""
    if not values or STDIN not in values:
        return values
    found = [text for text in map(str.strip, sys.stdin) if text]
    if not found:
        raise UsageError(EMPTY)
    return [one for one in values if one != STDIN] + found
