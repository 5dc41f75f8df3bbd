"""A drop folder on this machine or a mounted share. A file is read when nobody has written to it for ``settle`` seconds.

Options: ``path`` (the drop folder), ``settle`` (seconds, default 2), ``after`` and ``keep_done`` (``adapters.folders.drop_folder``).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from adapters.base import AdapterError, Finding
from adapters.folders import drop_folder
from adapters.folders.drop_folder import CHUNK, MOVE, AfterRead, DroppedFile

SETTLE = 2.0


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of one file."""
    with path.open("rb") as stream:
        yield from _read(stream)


def dropped(path: Path) -> DroppedFile:
    """A single file in the form in which a drop folder knows it."""
    return _dropped(path.name, path.stat())


class LocalFolder:
    """A local or mounted folder. The path of the folder may be a symbolic link; links in the folder are not followed."""

    def __init__(self, path: Path, settle: float) -> None:
        self.path, self._settle = path, settle

    def waiting(self) -> list[DroppedFile]:
        with os.scandir(self.path) as entries:
            found = [entry for entry in entries if entry.is_file(follow_symlinks=False) and drop_folder.is_waiting(entry.name)]
            return sorted(_dropped(entry.name, entry.stat(follow_symlinks=False)) for entry in found)

    def links(self) -> int:
        """The number of symbolic links in the folder. They are not followed."""
        with os.scandir(self.path) as entries:
            return sum(entry.is_symlink() for entry in entries)

    def settled(self) -> Iterator[DroppedFile]:
        now = datetime.now(UTC).timestamp()
        return (file for file in self.waiting() if now - file.written >= self._settle)

    def chunks(self, file: DroppedFile) -> Iterator[bytes]:
        """The bytes of a file. Fails if the file was replaced by a link or a pipe after it was listed."""
        number = os.open(self.path / file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(number, "rb") as stream:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise OSError(errno.EINVAL, "it is no longer a file")
            yield from _read(stream)

    def is_unchanged(self, file: DroppedFile) -> bool:
        return _dropped(file.name, (self.path / file.name).stat(follow_symlinks=False)) == file

    def move(self, file: DroppedFile, folder: str) -> None:
        with _opened(self.path) as here:
            with suppress(FileExistsError):
                os.mkdir(folder, dir_fd=here)
            with _opened(folder, here) as destination:
                target, number = file.name, 0
                while _exists(target, destination):
                    number += 1
                    target = f"{file.name}.{number}"
                os.rename(file.name, target, src_dir_fd=here, dst_dir_fd=destination)

    def clear(self, folder: str, before: float) -> None:
        """Removes old files. The status change time of a file is the time of its move, or later."""
        with suppress(FileNotFoundError), _opened(self.path) as here, _opened(folder, here) as there, os.scandir(there) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and max(status.st_mtime, status.st_ctime) < before:
                    os.unlink(entry.name, dir_fd=there)


@contextmanager
def _opened(folder: str | Path, inside: int | None = None) -> Iterator[int]:
    """Opens a folder as a descriptor, so that it cannot be replaced meanwhile. A subfolder (``inside``) must not be a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if inside is not None else 0)
    try:
        number = os.open(folder, flags, dir_fd=inside)
    except OSError as error:
        if inside is not None and error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise AdapterError(drop_folder.LINKED.format(folder=folder), permanent=True) from None
        raise
    try:
        yield number
    finally:
        os.close(number)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


class LocalDrop:
    """The local drop folder of one source, by its options."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._named = bool(options.get("path"))
        self._folder = LocalFolder(Path(str(options.get("path") or "")), float(options.get("settle", SETTLE)))
        self.after_read = AfterRead.from_options(options)

    @contextmanager
    def opened(self) -> Iterator[LocalFolder]:
        """The folder. Converts errors to an :class:`AdapterError` that says what to do."""
        path = self._folder.path
        if not self._named or not path.is_dir():
            raise AdapterError("the drop folder does not exist: set 'path' of this source", permanent=True)
        if not self._is_permitted(path):
            raise AdapterError("the drop folder is not readable and writable: fix its permissions, or set 'after: keep'", permanent=True)
        try:
            yield self._folder
        except OSError as error:
            raise AdapterError(f"a file of the drop folder cannot be read or moved: {error.strerror}") from error

    def check(self) -> Iterator[Finding]:
        """The findings of ``check SOURCE`` about the folder."""
        path = self._folder.path
        if not self._named:
            yield Finding("drop folder", False, "'path' is not set: set it to the drop folder")
        elif not path.is_dir():
            yield Finding("drop folder", False, "the folder in 'path' does not exist: create it or fix the path")
        elif not self._is_permitted(path):
            yield Finding("drop folder", False, "files cannot be read and moved: fix the permissions, or set 'after: keep'")
        else:
            yield Finding(
                "drop folder", True, "readable and writable" if self.after_read.after == MOVE else "readable; files stay where they are"
            )
            yield Finding("waiting", True, f"{len(self._folder.waiting())} file(s) are waiting")
            if links := self._folder.links():
                yield Finding("links", False, f"{links} symbolic link(s) are not followed: put the files there instead")

    def _is_permitted(self, path: Path) -> bool:
        return os.access(path, os.R_OK | os.X_OK | (os.W_OK if self.after_read.after == MOVE else 0))


def _dropped(name: str, status: os.stat_result) -> DroppedFile:
    """The file in the form in which the drop folder compares it."""
    return DroppedFile(name, status.st_size, status.st_mtime_ns / 1e9)


def _read(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(CHUNK), b"")
