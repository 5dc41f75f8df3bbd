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
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sync.progress import Progress as OnProgress

AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, everything else on stderr.")]


def out() -> Console:
    """Where results for people go. Colour only on a terminal; a pipe gets lines as long as they are."""
    return Console(file=sys.stdout, soft_wrap=not sys.stdout.isatty(), highlight=False)


def err() -> Console:
    """Where everything else goes."""
    return Console(file=sys.stderr, soft_wrap=not sys.stderr.isatty(), highlight=False)


def note(text: str) -> None:
    """A line for the person that runs the command."""
    err().print(Text(text))


def say(text: str = "") -> None:
    """A line of the result, for people."""
    out().print(Text(text))


def emit(value: Any) -> None:
    """The result, for machines."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """The result, for people."""
    shown = Table(*columns, title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        shown.add_row(*[Text(word(cell)) for cell in row])
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(shown)


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


@contextmanager
def progress(what: str) -> Iterator[OnProgress]:
    """A progress bar on stderr while a run works; nothing where stderr is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err(), transient=True, disable=not sys.stderr.isatty()) as bar:
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
