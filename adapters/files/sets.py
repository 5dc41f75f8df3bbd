"""Which files in a folder belong together: one for each table, with the same date and sequence in their names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from adapters.files.names import NamedPlace, NamePattern, compile_pattern
from adapters.files.options import MODIFIED, NAME, Extract
from adapters.folders.drop_folder import DroppedFile


@dataclass(frozen=True)
class FileSet:
    """Files that are read together. ``by_table``: the file of each table, all the same one if they are in one archive.

    ``markers`` are the files that say that it is complete; they are moved with it.
    """

    place: NamedPlace
    by_table: Mapping[str, DroppedFile]
    markers: tuple[DroppedFile, ...] = ()

    @property
    def files(self) -> list[DroppedFile]:
        """Its files, those with data first."""
        return [*dict.fromkeys(self.by_table.values()), *self.markers]

    def as_of(self, choice: str) -> str:
        """The time at which its data were current, in ISO 8601; empty if nothing says it."""
        if choice == MODIFIED:
            return datetime.fromtimestamp(min(file.written for file in self.by_table.values()), UTC).isoformat()
        return self.place.date if choice == NAME else ""


class WaitingSet(NamedTuple):
    """A set that misses files: the tables without one (or ``done`` without a marker), and when its newest file was written."""

    place: NamedPlace
    missing: tuple[str, ...]
    written: float


@dataclass(frozen=True)
class FolderContent:
    """What is in a folder: complete sets in the order of date and sequence, incomplete ones, and how many files are not ours."""

    sets: list[FileSet] = field(default_factory=list)
    waiting: list[WaitingSet] = field(default_factory=list)
    others: int = 0


def content(files: Iterable[DroppedFile], extract: Extract) -> FolderContent:
    """The sets among these files. Several files of one table with the same date and sequence are several sets, the oldest first."""
    found: dict[NamedPlace, dict[str, list[DroppedFile]]] = {}
    waiting_for_mark: list[DroppedFile] = []
    for file in files:
        matched = _matched(file.name, extract)
        if matched is None:
            waiting_for_mark.append(file)
            continue
        place, table = matched
        found.setdefault(place, {}).setdefault(table, []).append(file)
    marks = {file.name: file for file in waiting_for_mark}
    ready: list[FileSet] = []
    incomplete: list[WaitingSet] = []
    used: set[str] = set()
    for place, by_table in sorted(found.items(), key=lambda one: order(one[0])):
        for one in _sets(place, by_table, extract):
            markers, missing = _markers(one, extract, marks)
            missing = (*(table for table in _expected(extract) if table not in one.by_table), *missing)
            used |= {marker.name for marker in markers}
            if missing:
                incomplete.append(WaitingSet(place, missing, max(file.written for file in one.by_table.values())))
            else:
                ready.append(FileSet(place, _spread(one, extract), markers))
    return FolderContent(ready, incomplete, len(marks.keys() - used))


def gap(before: NamedPlace, now: NamedPlace, every: timedelta | None) -> str:
    """Which sets are missing between the newest that was read and this one; empty if none is known to be."""
    first, last, expected = now.sequence, before.sequence, None
    if first is not None and last is not None and now.date >= before.date:
        restarts = now.date > before.date and first < last
        expected = 1 if restarts else last + 1
        if first > expected:
            return f"sequence {expected}" if first == expected + 1 else f"sequences {expected} to {first - 1}"
    if every is not None and before.date and now.date > before.date:
        apart = datetime.fromisoformat(now.date) - datetime.fromisoformat(before.date)
        if apart >= 2 * every:
            return f"the sets between {before.date} and {now.date}"
    return ""


def _expected(extract: Extract) -> Sequence[str]:
    return [extract.patients.name] if extract.archive else [table.name for table in extract.tables]


def _matched(name: str, extract: Extract) -> tuple[NamedPlace, str] | None:
    patterns = {extract.patients.name: extract.archive} if extract.archive else {table.name: table.pattern for table in extract.tables}
    return next(((place, table) for table, pattern in patterns.items() if pattern and (place := pattern.match(name)) is not None), None)


def _sets(place: NamedPlace, by_table: Mapping[str, list[DroppedFile]], extract: Extract) -> list[FileSet]:
    """The first files of each table are a set, the second ones another: a delivery was repeated under other names (``*``)."""
    most = max(len(files) for files in by_table.values())
    ordered = {table: sorted(files, key=lambda file: (file.written, file.name)) for table, files in by_table.items()}
    return [FileSet(place, {table: files[n] for table, files in ordered.items() if n < len(files)}) for n in range(most)]


def _spread(one: FileSet, extract: Extract) -> Mapping[str, DroppedFile]:
    if not extract.archive:
        return {table.name: one.by_table[table.name] for table in extract.tables}
    (archive,) = one.by_table.values()
    return dict.fromkeys((table.name for table in extract.tables), archive)


def _markers(one: FileSet, extract: Extract, others: Mapping[str, DroppedFile]) -> tuple[tuple[DroppedFile, ...], tuple[str, ...]]:
    """The files that say that the set is complete, and what is missing of them."""
    if not extract.done:
        return (), ()
    if "{file}" in extract.done:
        wanted = [extract.done.replace("{file}", file.name) for file in one.by_table.values()]
        found = [others[name] for name in wanted if name in others]
        return tuple(found), () if len(found) == len(wanted) else ("done",)
    pattern = compile_pattern(extract.done)
    marker = next((file for name, file in others.items() if _same_set(pattern, name, one.place)), None)
    return ((marker,), ()) if marker is not None else ((), ("done",))


def _same_set(pattern: NamePattern, name: str, place: NamedPlace) -> bool:
    found = pattern.match(name)
    if found is None:
        return False
    return (not pattern.has_date or found.date == place.date) and (not pattern.has_sequence or found.sequence == place.sequence)


def order(place: NamedPlace) -> tuple[str, int]:
    """By which sets are sorted: date, then sequence."""
    return place.date, -1 if place.sequence is None else place.sequence
