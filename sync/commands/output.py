"""What a command shows: one JSON value on stdout for machines, tables for people; notes and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from sync.run import Progress as OnProgress

Limit = Annotated[int, typer.Option(help="The maximum number to show.", min=1, max=1_000_000)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout; everything else goes to stderr.")]


def note(text: str) -> None:
    """A line for the person that runs the command."""
    print(text, file=sys.stderr)


def say(text: str = "") -> None:
    """A line of the result, for people."""
    print(text)


def emit(value: Any) -> None:
    """The result, for machines."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """The result, for people: fitted to a terminal; in a pipe each row is one line, as long as it is."""
    cells = [[word(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _fitted(columns, cells, title)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for text in ([title] if title else []) + ["  ".join(map(str.ljust, line, widths)) for line in lines]:
        say(text)


def _fitted(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None) -> None:
    from rich.console import Console  # slow to import
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        shown.add_row(*map(Text, row))
    Console(highlight=False).print(shown)


def word(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    return str(value)


def counted(counts: Mapping[str, int]) -> str:
    """Counts by outcome in one line."""
    return ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number) or "no records"


def number(count: int, noun: str) -> str:
    """``1 error``, ``2 errors``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


@contextmanager
def progress(what: str) -> Iterator[OnProgress]:
    """A progress bar on stderr while a run works; nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total, waiting="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total, waiting="": bar.update(task, completed=done, total=total, description=waiting or what)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)
