"""The output of commands: one JSON value or tables on stdout; notes and progress on stderr."""

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
    """Prints a note for the person who runs the command, on stderr."""
    print(text, file=sys.stderr)


def say(text: str = "") -> None:
    """Prints a line of the result, for people."""
    print(text)


def emit(value: Any) -> None:
    """Prints the result as JSON, for machines."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Prints a table for people: fitted to the terminal; in a pipe each row is one line of any length. Without names there is no head."""
    cells = [[word(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _fitted(columns, cells, title)
        return
    lines = [list(columns), *cells] if any(columns) else cells
    widths = [max((len(line[place]) for line in lines), default=0) for place in range(len(columns))]
    for text in ([title] if title else []) + ["  ".join(map(str.ljust, line, widths)) for line in lines]:
        say(text)


def _fitted(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None) -> None:
    from rich.console import Console  # slow to import
    from rich.table import Table
    from rich.text import Text

    shown = Table(
        title=title, title_justify="left", header_style="bold", show_header=any(columns), box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for name in columns:
        shown.add_column(name, overflow="fold")  # in a narrow terminal nothing is left out
    for row in rows:
        shown.add_row(*map(Text, row))
    Console(highlight=False).print(shown)


def word(value: object) -> str:
    """A value as text, for people."""
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
    """A progress bar on stderr; nothing if stderr is not a terminal."""
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
