"""Writes suppression lists to a folder, whole or as what changed since the list before.

A list is complete when its marker (``NAME.done``) is there. What was written is remembered after that, in a file of the same folder. If a
run dies between the two, the next list is whole: it loses no row, and keeps none that is gone. Files are readable by this user only.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from store.domain.suppression import Suppression
from sync.config.problems import UsageError

COLUMNS = ("change", "address", "channel", "line", "reason", "since")
ADD, REMOVE = "add", "remove"
FULL, DELTA = "full", "delta"
STAMP = "%Y%m%dT%H%M%S.%fZ"
Read = Callable[[], Mapping[str, Suppression]]


class SuppressionList(NamedTuple):
    """Which list: lists of other enterprises, channels or lines in the same folder are separate. ``message_type``: of the messages."""

    enterprise: str
    message_type: str
    channel: str
    line: str | None

    @property
    def name(self) -> str:
        """The beginning of its files' names."""
        return "-".join(("suppressions", self.enterprise, self.message_type, self.channel, *([self.line.lstrip("+")] if self.line else [])))


class WrittenList(NamedTuple):
    """What was written. ``kind``: full or delta; ``files``: their names, without the marker; ``addresses``: of the whole list."""

    kind: str
    added: int
    removed: int
    files: tuple[str, ...]
    addresses: int


class CompleteList(NamedTuple):
    """A list in the folder, with its files; the marker is the last."""

    files: tuple[Path, ...]

    def remove(self) -> None:
        """Removes it, the marker first: files without a marker are not a list."""
        for file in reversed(self.files):
            file.unlink(missing_ok=True)


class _Last(NamedTuple):
    """The list as it was last written, and its marker's name. ``rows`` is ``None`` if the list may not have been completed."""

    name: str
    rows: Mapping[str, tuple[str, str]] | None

    @property
    def at(self) -> datetime:
        """The time in its name. Raises ``ValueError``."""
        return datetime.strptime(self.name.split("-")[-2], STAMP).replace(tzinfo=UTC)


def write_list(folder: Path, which: SuppressionList, read: Read, now: datetime, *, delta: bool) -> WrittenList:
    """Writes a list: all of it, or with ``delta`` what changed. The first one in a folder is whole.

    ``read`` gives the rows by address. It is called when no other run writes this list: a delta that is read before another one and written
    after it would remove what that one added.

    Raises :class:`UsageError` if the folder is missing, another run is writing this list, or a delta cannot tell what was written before.
    """
    if not folder.is_dir():
        raise UsageError("the folder does not exist; create it, readable by this user only")
    with _alone(folder / f".{which.name}.lock"):
        state = folder / f".{which.name}.state"
        known = _last(state, needed=delta)
        kind, before = (DELTA, known.rows) if delta and known and known.rows is not None else (FULL, {})
        current = {address: (one.reason, one.since.isoformat() if one.since else "") for address, one in read().items()}
        added = {address: row for address, row in current.items() if before.get(address) != row}
        removed = {address: row for address, row in before.items() if address not in current}
        name = f"{which.name}-{_after(known, now):{STAMP}}-{kind}"
        contents = {f"{name}.csv": _table(which, added, removed), f"{name}.txt": _bare(added)}
        contents |= {f"{name}-removed.txt": _bare(removed)} if kind == DELTA else {}
        for file, text in contents.items():
            _write(folder / file, text)
        digests = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in contents.items()}
        after = known.name if known and kind == DELTA else None
        marker = {"kind": kind, "after": after, "added": len(added), "removed": len(removed), "sha256": digests}
        # A run that dies here may have told a sender of this list: only a whole one can follow
        _write(state, json.dumps(_Last(f"{name}.done", None)))
        _write(folder / f"{name}.done", json.dumps(marker, indent=1) + "\n")
        _write(state, json.dumps(_Last(f"{name}.done", current)))
        return WrittenList(kind, len(added), len(removed), tuple(contents), len(current))


def complete_lists(folder: Path, which: SuppressionList) -> list[CompleteList]:
    """The lists in the folder, the oldest first."""
    markers = sorted(file for file in folder.glob(f"{which.name}-*.done") if file.name.rsplit("-", 2)[0] == which.name)
    return [CompleteList((*(folder / name for name in json.loads(marker.read_text("utf-8"))["sha256"]), marker)) for marker in markers]


def last_marker(folder: Path, which: SuppressionList) -> str | None:
    """The name of the marker of the list that was written last here; ``None`` if that is not known."""
    try:
        found = _last(folder / f".{which.name}.state", needed=False)
    except OSError:
        return None
    return found.name if found else None


def _after(last: _Last | None, now: datetime) -> datetime:
    """The time in a list's name: after that of the list before, even if our clock was set back, since lists are loaded in that order."""
    return now if last is None else max(now, last.at + timedelta(microseconds=1))


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError("another export is writing this list; try again when it is done") from None
    finally:
        os.close(descriptor)


def _last(state: Path, *, needed: bool) -> _Last | None:
    """The last list; ``None`` if there was none, or its record cannot be read and is not ``needed``."""
    try:
        name, rows = json.loads(state.read_text("utf-8"))
        known = None if rows is None else {str(address): (str(reason), str(since)) for address, (reason, since) in rows.items()}
        found = _Last(str(name), known)
        return found if found.at else None
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError, IndexError):
        if needed:
            raise UsageError("the record of the last list cannot be read; export the whole list, without --delta") from None
        return None


def _write(file: Path, text: str) -> None:
    """Writes a file that is there as a whole or not at all, also after a loss of power."""
    part = file.with_name(f".{file.name}.part")
    with open(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.rename(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _table(which: SuppressionList, added: Mapping[str, tuple[str, str]], removed: Mapping[str, tuple[str, str]]) -> str:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for change, rows in ((ADD, added), (REMOVE, removed)):
        table.writerows((change, address, which.channel, which.line or "", *row) for address, row in rows.items())
    return text.getvalue()


def _bare(rows: Mapping[str, tuple[str, str]]) -> str:
    return "".join(f"{address}\n" for address in rows)
