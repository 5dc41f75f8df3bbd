"""Drop folders with symbolic links, and the handling of files after reading. For local and remote folders."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters.base import AdapterError, Batch, Fetch
from adapters.hl7v2.files import FilesAdapter
from adapters.hl7v2.sftp import SftpAdapter
from adapters.locators import opaque
from tests.adapters.hl7v2 import test_files, test_sftp
from tests.adapters.hl7v2.messages import adt
from tests.adapters.hl7v2.sftp_server import serving
from tests.adapters.hl7v2.test_files import names

Build = Callable[..., FilesAdapter | SftpAdapter]
DAY = 86_400.0
SECRET = "MRN10001_Invented_Person.hl7"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "out"


@pytest.fixture(params=["hl7v2.files", "hl7v2.sftp"])
def build(request: pytest.FixtureRequest, folder: Path) -> Iterator[Build]:
    with ExitStack() as until:
        if request.param == "hl7v2.files":
            yield lambda **options: test_files.adapter(folder, **options)
            return
        server = until.enter_context(serving(folder.parent, test_sftp.HOST_KEY))
        yield lambda **options: test_sftp.adapter(server, **options)


def read_all(adapter: FilesAdapter | SftpAdapter, **request: Any) -> list[Batch]:
    return list(adapter.fetch(Fetch(**request)))


def test_a_link_to_a_file_is_not_followed(build: Build, folder: Path) -> None:
    secret = folder.parent / "elsewhere" / "secret.hl7"
    secret.write_bytes(adt())
    (folder / "a.hl7").symlink_to(secret)
    (folder / "dangling.hl7").symlink_to(folder / "nowhere")
    assert read_all(build()) == []
    assert secret.read_bytes() == adt()
    assert sorted(path.name for path in folder.iterdir()) == ["a.hl7", "dangling.hl7"]


def test_a_link_to_a_folder_is_not_followed(build: Build, folder: Path) -> None:
    (folder.parent / "elsewhere" / "a.hl7").write_bytes(adt())
    (folder / "more").symlink_to(folder.parent / "elsewhere")
    assert read_all(build()) == []


@pytest.mark.parametrize("name", ["done", "error"])
def test_files_are_not_moved_through_a_link(build: Build, folder: Path, name: str) -> None:
    (folder / "a.hl7").write_bytes(adt() if name == "done" else b"no message")
    (folder / name).symlink_to(folder.parent / "elsewhere")
    with pytest.raises(AdapterError, match=f"'{name}' in the drop folder is a symbolic link") as caught:
        read_all(build())
    assert caught.value.permanent
    assert names(folder) == ["a.hl7"]
    assert names(folder.parent / "elsewhere") == []


def test_old_files_are_not_removed_through_a_link(build: Build, folder: Path) -> None:
    old = folder.parent / "elsewhere" / "old.hl7"
    old.write_bytes(adt())
    os.utime(old, (1, 1))
    (folder / "done").symlink_to(folder.parent / "elsewhere")
    with pytest.raises(AdapterError, match="symbolic link"):
        read_all(build(keep_done=1e-6))
    assert old.exists()


def test_a_link_that_replaces_a_file_is_not_read(build: Build, folder: Path) -> None:
    for name in ("a.hl7", "b.hl7"):
        (folder / name).write_bytes(adt())
    fetching = build().fetch(Fetch())
    next(fetching)
    (folder.parent / "elsewhere" / "secret.hl7").write_bytes(adt("A11"))
    (folder / "b.hl7").unlink()
    (folder / "b.hl7").symlink_to(folder.parent / "elsewhere" / "secret.hl7")
    with pytest.raises(AdapterError):
        list(fetching)
    assert (folder.parent / "elsewhere" / "secret.hl7").exists()


def test_check_reports_links(folder: Path) -> None:
    (folder / "a.hl7").symlink_to(folder / "nowhere")
    found = list(test_files.adapter(folder).check())
    assert [(one.what, one.ok) for one in found if not one.ok] == [("links", False)]
    assert "a.hl7" not in found[-1].detail


def test_files_in_done_are_removed_after_keep_done(build: Build, folder: Path) -> None:
    (folder / "a.hl7").write_bytes(adt())
    os.utime(folder / "a.hl7", (time.time() - 400 * DAY,) * 2)  # already old on arrival: keep_done starts when it was read
    (folder / "letter.txt").write_bytes(b"no message")
    read_all(build(keep_done=30 * DAY))
    assert names(folder / "done") == ["a.hl7"]
    (folder / "done" / "folder").mkdir()
    (folder / "done" / "link").symlink_to(folder / "error" / "letter.txt")
    read_all(build(keep_done=1e-6))
    assert sorted(path.name for path in (folder / "done").iterdir()) == ["folder", "link"]
    assert names(folder / "error") == ["letter.txt"]


@pytest.mark.parametrize("kept", [{"keep_done": None}, {"after": "keep", "keep_done": 1e-6}], ids=["for ever", "not ours"])
def test_files_that_must_be_kept_are_not_removed(build: Build, folder: Path, kept: dict[str, Any]) -> None:
    (folder / "done").mkdir()
    (folder / "done" / "a.hl7").write_bytes(adt())
    os.utime(folder / "done" / "a.hl7", (1, 1))
    read_all(build(**kept))
    assert names(folder / "done") == ["a.hl7"]


def test_old_files_are_removed_once_an_hour_and_not_by_a_dry_read(build: Build, folder: Path) -> None:
    adapter = build(keep_done=1e-6)
    (folder / "a.hl7").write_bytes(adt())
    read_all(adapter, dry=True)
    assert names(folder) == ["a.hl7"]
    read_all(adapter)
    assert names(folder / "done") == []
    (folder / "b.hl7").write_bytes(adt())
    read_all(adapter)
    assert names(folder / "done") == ["b.hl7"]


def test_file_names_are_never_shown(build: Build, folder: Path) -> None:
    (folder / SECRET).write_bytes(adt())
    batches = read_all(build(after="keep"))
    assert [item.locator for batch in batches for item in batch.items] == [f"{opaque(SECRET)}#1"]
    assert all("MRN10001" not in f"{batch.cursor} {batch.note} {[item.locator for item in batch.items]}" for batch in batches)
    assert read_all(build(after="keep"), cursor=batches[-1].cursor) == []


def test_the_locator_of_a_file_is_the_b2sum_of_its_name() -> None:
    assert opaque("a08.hl7") == "file-212cc59b01cb"


def test_batches_are_limited_by_bytes(folder: Path) -> None:
    (folder / "a.hl7").write_bytes((adt() + b"NTE|1||" + b"x" * 3_000_000 + b"\r") * 7)
    batches = read_all(test_files.adapter(folder))
    assert [len(batch.items) for batch in batches] == [2, 2, 2, 1]
