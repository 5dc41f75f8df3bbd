"""One lost connection says that the others are lost too."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from sqlalchemy.exc import DBAPIError

from store.db.database import Database

END_OTHERS = """SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_server_that_restarts_fails_one_read_however_many_connections_are_pooled(database: Database, database_url: str) -> None:
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(database.read())
    other = Database.open(database_url)
    with other.read() as connection:
        other.select(connection, END_OTHERS, [])
    other.close()
    with pytest.raises(DBAPIError), database.read() as connection:
        database.select(connection, "SELECT 1", [])
    for _ in range(3):
        with database.read() as connection:
            assert database.select(connection, "SELECT 1", []) == [(1,)]
