"""The SQLite file is deleted, moved or replaced under the service, or is missing at the next start."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.db import outage, schema
from store.db.database import Database
from store.db.outage import LOST, MOVED, Unavailable
from store.db.tables import SourceNoteRow

COLUMNS = ("source", "key", "enterprise", "text")


@pytest.fixture
def file(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


@pytest.fixture
def opened(file: Path) -> Iterator[Database]:
    """In use: a connection is open, and the mark is kept."""
    database = Database.open(f"sqlite:///{file}")
    schema.check(database)
    schema.keep_mark(database)
    note(database, "before")
    yield database
    database.close()


def note(database: Database, key: str, then: Callable[[], object] = lambda: None) -> None:
    with database.write("clinic") as transaction:
        database.insert(transaction, SourceNoteRow, COLUMNS, [("adt", key, "clinic", "")])
        then()


def keys(database: Database) -> list[str]:
    with database.read() as connection:
        return [key for (key,) in database.select(connection, "SELECT key FROM source_notes ORDER BY key", [])]


def replace_with_a_copy(file: Path) -> None:
    """As a restore under the running service does."""
    copy = file.with_suffix(".copy")
    shutil.copyfile(file, copy)
    copy.rename(file)


LOSSES = {
    "deleted": Path.unlink,
    "moved": lambda file: file.rename(file.with_suffix(".moved")),
    "replaced": replace_with_a_copy,
}
loses = pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)


@loses
def test_nothing_is_read_from_or_written_to_a_file_that_is_not_there_any_more(
    opened: Database, file: Path, lose: Callable[[Path], object]
) -> None:
    lose(file)
    for use in (lambda: note(opened, "lost"), lambda: keys(opened), lambda: schema.check(opened)):
        with pytest.raises(Unavailable) as raised:
            use()
        assert outage.explanation(raised.value) == MOVED


@loses
def test_a_transaction_under_way_is_not_committed_into_the_void(opened: Database, file: Path, lose: Callable[[Path], object]) -> None:
    with pytest.raises(Unavailable, match="deleted, moved or replaced"):
        note(opened, "lost", then=lambda: lose(file))


def test_a_file_that_is_put_back_is_used_again(opened: Database, file: Path) -> None:
    away = file.with_suffix(".moved")
    file.rename(away)
    with pytest.raises(Unavailable):
        note(opened, "lost")
    away.rename(file)
    note(opened, "then")
    assert keys(opened) == ["before", "then"]


def test_a_connection_is_not_opened_to_another_file(opened: Database, file: Path) -> None:
    replace_with_a_copy(file)
    opened.engine.dispose()
    with pytest.raises(Unavailable), opened.engine.connect():
        pass


@pytest.mark.parametrize("left", ["nothing", "an empty file", "a file without a schema"])
def test_no_empty_database_is_begun_where_one_was(opened: Database, file: Path, left: str) -> None:
    opened.close()
    for one in file.parent.glob(f"{file.name}*"):
        if one.suffix != ".created":
            one.unlink()
    if left == "an empty file":
        file.touch()
    elif left != "nothing":
        bare = Database.open(f"sqlite:///{file.with_suffix('.bare')}")
        schema.is_empty(bare)
        bare.close()
        file.with_suffix(".bare").rename(file)
    again = Database.open(f"sqlite:///{file}")
    with pytest.raises(Unavailable) as raised:
        schema.migrate(again)
    assert outage.explanation(raised.value) == LOST
    assert file.exists() == (left != "nothing")
    file.with_name(f"{file.name}.created").unlink()
    schema.migrate(again)
    assert keys(again) == []
    again.close()


def test_the_files_of_a_new_database_are_its_owner_s(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'new.db'}")
    schema.migrate(database)
    note(database, "a")
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.glob("new.db*")}
    database.close()
    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}
