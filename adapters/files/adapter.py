"""The adapter ``files.delimited``: reads sets of delimited files from a drop folder.

A set is read when all its files are there. It is loaded and checked as a whole, then its records are committed in batches, each with its
place in the set. After a crash the set is loaded again and continues behind the last commit. A set that was read is remembered by its
content, so that the same delivery changes nothing. Files are moved at the end; what a crash left unmoved the next run moves.

What must be delivered again (a rejected set, a missing one) fails the run at its end, after everything else was read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from adapters.base import AdapterError, Batch, Fetch, Filtered, Finding, MissingData, Payload, SourceSettings, Unmappable, Wait
from adapters.files import cursor, sets
from adapters.files.cursor import ExtractProgress, ExtractState
from adapters.files.loaded import OpenedSet, opened
from adapters.files.mapper import DelimitedMapper
from adapters.files.names import NamedPlace
from adapters.files.options import extract
from adapters.files.rejected import FileRejected
from adapters.files.sets import FileSet, FolderContent, WaitingSet
from adapters.folders import drop_folder, local
from adapters.folders.drop_folder import DONE, ERROR, MOVE, Drop, DroppedFile, Folder
from adapters.folders.local import LocalDrop
from adapters.locators import opaque
from adapters.notes import InMemoryNotes, Notes

WHOLE = "a drop folder cannot be asked for one patient or from a time: run it without --patient and --since"
LOADING = Wait(0.001, "loading a set of files")  # not a wait for anybody: it shows in the progress bar
INCOMPLETE = "the set {place} waits for {missing}"
OTHERS = "{count} file(s) in the folder have a name that matches no table: check 'file' of the tables"


def utc_now() -> datetime:
    return datetime.now(UTC)


class DelimitedAdapter:
    """Reads the drop folder of one source."""

    def __init__(self, settings: SourceSettings, drop: Drop | None = None, clock: Callable[[], datetime] = utc_now) -> None:
        self.extract = extract(settings)
        self.mapper = DelimitedMapper(settings)
        self._drop, self._clock = drop or LocalDrop(settings.options), clock
        self.notes: Notes = InMemoryNotes()

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        """The complete sets, in the order of date and sequence. Raises :class:`~adapters.base.AdapterError`."""
        if request.patient is not None or request.since is not None:
            raise AdapterError(WHOLE, permanent=True)
        with self._drop.opened() as folder:
            work = _Reading(self, folder, request)
            yield from work.run()
            if self._moves and self._drop.after_read.keep is not None and not request.dry:
                yield from drop_folder.remove_old(folder, self._drop.after_read.keep, self.notes)
        if work.alarms:
            raise MissingData("; ".join(dict.fromkeys(work.alarms)))

    def check(self) -> Iterator[Finding]:
        """The findings of ``check SOURCE``: the folder, what is in it, and whether an incomplete file would be noticed."""
        findings = list(self._drop.check())
        yield from findings
        if all(one.ok for one in findings if one.what != "links"):
            with self._drop.opened() as folder:
                found = sets.content(folder.settled(), self.extract)
            yield Finding("sets", True, f"{len(found.sets)} complete set(s)")
            yield from (Finding("sets", False, _incomplete(one)) for one in found.waiting)
            if found.others:
                yield Finding("names", False, OTHERS.format(count=found.others))
        is_checked = self.extract.trailer is not None or bool(self.extract.done)
        detail = "by trailer or marker" if is_checked else "a file that was cut off is not detected: set 'trailer' or 'done' if you can"
        yield Finding("completeness", True, detail)

    def payloads(self, path: Path) -> Iterator[Payload]:
        """The records of the set that a file is the patients' file (or the archive) of. Other files of a set have none of their own."""
        one = self._set_of(path)
        if one is None:
            return
        try:
            with opened(lambda file: local.chunks(path.parent / file.name), one, self.extract) as found:
                yield from found.loaded.payloads()
        except FileRejected as error:
            yield Payload(b"", opaque(path.name), self._clock(), refused=(error.reason, error.detail))

    def _set_of(self, path: Path) -> FileSet | None:
        """The set that a file begins; ``None`` if it belongs to one that another file begins. Needs no marker."""
        unmarked = replace(self.extract, done="")
        found = sets.content((local.dropped(one) for one in path.parent.iterdir() if one.is_file()), unmarked)
        patients = self.extract.patients.name
        for one in found.sets:
            if path.name in {file.name for file in one.files}:
                return one if one.by_table[patients].name == path.name else None
        if len(self.extract.tables) == 1 and self.extract.archive is None:
            return FileSet(NamedPlace(), {patients: local.dropped(path)})
        raise AdapterError(f"{opaque(path.name)} is in no complete set: put the files of all tables into one folder", permanent=True)

    @property
    def _moves(self) -> bool:
        return self._drop.after_read.after == MOVE


class _Reading:
    """One read of the folder. ``alarms``: what must be delivered again, or is missing."""

    def __init__(self, adapter: DelimitedAdapter, folder: Folder, request: Fetch) -> None:
        self.adapter, self.folder, self.request = adapter, folder, request
        self.extract, self.alarms, self.handed_out = adapter.extract, list[str](), 0
        self.moves = adapter._moves and not request.dry

    def run(self) -> Iterator[Batch]:
        files = list(self.folder.settled())
        state = cursor.read(self.request.cursor).only(files)
        found = sets.content(self._unread(files, state), self.extract)
        state = yield from self._forget_moved(state)
        yield from self._notes(found)
        for one in found.sets:
            state = yield from self._read(one, state)
        self.alarms += [_incomplete(one) for one in found.waiting if self._is_overdue(one)]

    def _unread(self, files: list[DroppedFile], state: ExtractState) -> list[DroppedFile]:
        """The files that were not read yet. What was read and not moved is moved now."""
        unread: list[DroppedFile] = []
        for file in files:
            folder = state.folder_of(file)
            if folder and self.moves:
                self.folder.move(file, folder)
            elif not folder or (self.request.full and not self.adapter._moves):
                unread.append(file)
        return unread

    def _notes(self, found: FolderContent) -> Iterator[Batch]:
        texts = [_incomplete(one) for one in found.waiting if not self._is_overdue(one)] + (
            [OTHERS.format(count=found.others)] if found.others else []
        )
        yield from (Batch((), wait=Wait(0, ""), note=text) for text in texts)

    def _is_overdue(self, one: WaitingSet) -> bool:
        return self.adapter._clock().timestamp() - one.written > self.extract.patience.total_seconds()

    def _read(self, one: FileSet, state: ExtractState) -> Generator[Batch, None, ExtractState]:
        """Reads a set. Returns the state after it."""
        yield Batch((), wait=LOADING)
        missing = "" if state.progress else sets.gap(state.newest, one.place, self.extract.every)
        if missing:
            self.alarms.append(f"missing: {missing}")
            detail = f"{missing} was not delivered: what it refuses is unknown here; deliver it, even late"
            yield Batch([Unmappable("set_missing", detail, _locator(one))], None, [b""])
        try:
            with opened(self.folder.chunks, one, self.extract) as found:
                if not self._is_unchanged(one):
                    return state  # it is still being written
                state, folder = (yield from self._commit(one, found, state)), DONE
        except FileRejected as error:
            self.alarms.append(f"set {_shown(one.place)} was rejected ({error.reason})")
            state, folder = state.finished("", one.place, one.files, ERROR), ERROR
            yield Batch([Unmappable(error.reason, error.detail, _locator(one))], state.text(), [b""])
        if self.moves and self._is_unchanged(one):
            for file in one.files:
                self.folder.move(file, folder)
            state = yield from self._forget_moved(state)
        return state

    def _forget_moved(self, state: ExtractState) -> Generator[Batch, None, ExtractState]:
        """The state without the files that were moved: a corrected one may come with the same name, size and time."""
        if self.moves and state.settled:
            state = replace(state, settled={})
            yield Batch((), state.text(), wait=Wait(0, ""))
        return state

    def _commit(self, one: FileSet, found: OpenedSet, state: ExtractState) -> Generator[Batch, None, ExtractState]:
        """The records of a set, from the first that is not committed."""
        finished = state.finished(found.content, one.place, one.files, DONE)
        if found.content in state.read and not self.request.full:
            yield Batch([Filtered("set_repeated", _locator(one))], finished.text(), [b""])
            return finished
        progress = self._progress(found, state)
        total = self.handed_out + found.loaded.total - progress.done
        for group in drop_folder.groups(found.loaded.payloads(progress.done)):
            progress = replace(progress, done=progress.done + len(group))
            batch = drop_folder.mapped(group, self.adapter.mapper)
            self.handed_out += len(batch.items)
            yield batch._replace(cursor=replace(state, progress=progress).text(), total=max(total, self.handed_out))
        everybody = datetime.fromisoformat(progress.since) if self.extract.snapshot else None
        yield Batch((), finished.text(), note=_note(found, one), everybody_since=everybody)
        return finished

    def _progress(self, found: OpenedSet, state: ExtractState) -> ExtractProgress:
        """Where to continue in a set, or its beginning. Another mapping reads it from the beginning, and so does a full read."""
        begun, mapping = state.progress, self.adapter.mapper.mapping
        if begun and (begun.content, begun.mapping) == (found.content, mapping) and begun.full >= self.request.full:
            return begun
        return ExtractProgress(found.content, mapping, self.adapter._clock().isoformat(), full=self.request.full)

    def _is_unchanged(self, one: FileSet) -> bool:
        return all(self.folder.is_unchanged(file) for file in one.files)


def _note(found: OpenedSet, one: FileSet) -> str:
    if not found.loaded.is_uncertain:
        return ""
    return f"set {_shown(one.place)}: some rows cannot be read and their patients are unknown, so only its refusals were applied"


def _incomplete(one: WaitingSet) -> str:
    return INCOMPLETE.format(place=_shown(one.place), missing=" and ".join(one.missing))


def _locator(one: FileSet) -> str:
    return opaque(next(iter(one.by_table.values())).name)


def _shown(place: NamedPlace) -> str:
    """The date and sequence of a set, for people."""
    number = "" if place.sequence is None else f"#{place.sequence}"
    return " ".join(part for part in (place.date, number) if part) or "without date"
