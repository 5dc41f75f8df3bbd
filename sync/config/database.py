"""The database address: an SQLite file or a PostgreSQL server. Errors never quote it: it may contain a password."""

from __future__ import annotations

import re
import stat
from pathlib import Path as FilePath
from urllib.parse import urlsplit

from sync.config.document import Document
from sync.config.problems import Path

SQLITE, POSTGRESQL = "sqlite:///", "postgresql+psycopg://"
FORMS = f"{SQLITE}FILE or {POSTGRESQL}USER@HOST/NAME"
SEVERAL = re.compile(r"://[^/?]*:\d+,")
WHERE: Path = ("database",)
OTHERS = stat.S_IRWXG | stat.S_IRWXO
OPEN_TO_OTHERS = "other users of this machine can read the file; run chmod 600 on it and on the files beside it"


def check_address(document: Document, url: str) -> None:
    """Reports an invalid database address."""
    if message := _wrong(url):
        document.mistake(WHERE, message)


def located(url: str, folder: FilePath) -> str:
    """A relative SQLite path is relative to the configuration, so that it is one database from wherever a command is called."""
    path = url.removeprefix(SQLITE)
    return f"{SQLITE}{folder.resolve() / path}" if url.startswith(SQLITE) and path else url


def check_folder(document: Document, url: str) -> None:
    """Reports a path at which no SQLite file can be created."""
    if not url.startswith(SQLITE) or not (path := url.removeprefix(SQLITE)):
        return
    file = FilePath(path)
    if file.is_dir():
        document.mistake(WHERE, "this is a folder; add a file name")
    elif not file.parent.is_dir():
        document.mistake(WHERE, f"the folder {file.parent} does not exist; create it, or correct the path")


def check_rights(document: Document, url: str) -> None:
    """Warns of an SQLite file that others on this machine can read."""
    if is_open_to_others(url):
        document.warn(WHERE, OPEN_TO_OTHERS)


def is_open_to_others(url: str) -> bool:
    """Whether users other than the file's owner may read an SQLite database."""
    try:
        return url.startswith(SQLITE) and bool(FilePath(url.removeprefix(SQLITE)).stat().st_mode & OTHERS)
    except OSError:
        return False


def _wrong(url: str) -> str:
    kind, separator, rest = url.partition("://")
    if not separator:
        return f"not a database address; write {SQLITE}{'FILE' if ':' in url or '@' in url else url}, or {POSTGRESQL}USER@HOST/NAME"
    if kind.startswith("sqlite"):
        return _wrong_file(kind, rest)
    if kind.startswith("postgres"):
        return _wrong_server(kind, url)
    return f"{kind}:// is not supported; write {FORMS}"


def _wrong_file(kind: str, rest: str) -> str:
    if kind != "sqlite" or not rest.startswith("/"):
        return f"not an SQLite address; write {SQLITE}FILE (three slashes, or four for an absolute path)"
    if rest == "/" or rest.startswith("/:memory:"):
        return f"no file name (an in-memory database cannot be shared); write {SQLITE}emr-sync.db"
    if "?" in rest:
        return f"parameters after the file name are not supported; write {SQLITE}FILE"
    return ""


def _wrong_server(kind: str, url: str) -> str:
    if kind != "postgresql+psycopg":
        return f"{kind}:// is for another driver; write {POSTGRESQL} and keep the rest"
    if SEVERAL.search(url):
        return f"several servers with ports; write {POSTGRESQL}USER@/NAME?host=a:5432&host=b:5433"
    try:
        parts = urlsplit(url)
        if parts.port == 0:
            return "port out of range; leave it out for 5432"
    except ValueError:
        return f"not a valid address; write {POSTGRESQL}USER@HOST:PORT/NAME, with @ : / in a password as %40 %3A %2F"
    if any(one.isspace() for one in url):
        return "contains a space; remove it, or write it as %20"
    if not parts.path.strip("/"):
        return f"no database name; write {POSTGRESQL}USER@HOST/NAME"
    return ""
