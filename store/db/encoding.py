"""The encoding in which a PostgreSQL database keeps text. A server without a locale creates databases in SQL_ASCII."""

from __future__ import annotations

from store.db.database import Database

UTF8 = "UTF8"
OTHER = "the database's encoding is {found}, which cannot store all names: create it with {createdb}"
CREATEDB = "createdb --encoding=UTF8 --template=template0"


def problem(database: Database) -> str:
    """Why names cannot be kept in this database, and what to do; an empty text if they can. SQLite always keeps UTF-8."""
    if database.is_sqlite:
        return ""
    with database.read() as connection:
        ((found,),) = database.select(connection, "SHOW server_encoding", [])
    return "" if found == UTF8 else OTHER.format(found=found, createdb=CREATEDB)
