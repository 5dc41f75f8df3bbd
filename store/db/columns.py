"""How rows are declared: an annotated class with a SQLAlchemy Core table, which is built when it is first needed.

Only statements and migrations need the tables. SQLAlchemy's object-relational mapper is not used: importing it takes longer than most
commands take to run. Its PostgreSQL dialect, which partial indexes need, takes a tenth of that.
"""

from __future__ import annotations

from threading import RLock
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Column, ForeignKey, Index, MetaData, Table, text
from sqlalchemy.types import TypeEngine

Kind = TypeVar("Kind")
BUILDING = RLock()
MAPPED, OPTIONAL = "Mapped[", " | None"


class Mapped(Generic[Kind]):
    """The type of a column; ``| None`` makes it nullable."""


def mapped_column(*parts: Any, **options: Any) -> Any:
    """Whatever else a column needs besides its type: arguments of ``sqlalchemy.Column``."""
    return parts, options


class PartialIndex(NamedTuple):
    """An index of the rows for which ``where`` (SQL) is true, on either database."""

    name: str
    columns: tuple[str, ...]
    where: str
    unique: bool = False

    def add(self, table: Table) -> None:
        """Adds the index to a SQLAlchemy table. SQLAlchemy then imports both dialects."""
        where = text(self.where)
        Index(self.name, *(table.c[name] for name in self.columns), unique=self.unique, postgresql_where=where, sqlite_where=where)


class Declared(type):
    """The type of row classes. Their parent class sets ``known``, the metadata, and ``types``, the column type of each Python type."""

    known: MetaData
    types: dict[str, Any]
    rows: dict[str, Declared] = {}  # noqa: RUF012  # by table, in the order declared

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:
        super().__init__(name, bases, members)
        cls._built: Table | None = None
        if "__tablename__" in members:
            Declared.rows[members["__tablename__"]] = cls

    @property
    def __table__(cls) -> Table:
        """The SQLAlchemy table, built on first use."""
        if cls._built is None:
            with BUILDING:  # threads ask at the same time
                cls._built = cls._built or _table(cls, cls.__dict__["__tablename__"])
        return cls._built

    @property
    def metadata(cls) -> MetaData:
        """All declared tables with their partial indexes."""
        with BUILDING:
            for row in Declared.rows.values():
                _index(row)
        return cls.known


def _table(row: Declared, name: str) -> Table:
    arguments = row.__dict__.get("__table_args__", ())
    options = {key: value for one in arguments if isinstance(one, dict) for key, value in one.items()}
    constraints = [one for one in arguments if not isinstance(one, dict | PartialIndex)]
    columns = [_column(row, column, kind) for column, kind in row.__annotations__.items() if kind.startswith(MAPPED)]
    return Table(name, row.known, *columns, *constraints, **options)


def _index(row: Declared) -> None:
    """Adds the partial indexes. Statements do not need them, so they are only added when all tables are wanted."""
    table = row.__table__
    known = {index.name for index in table.indexes}
    for one in row.__dict__.get("__table_args__", ()):
        if isinstance(one, PartialIndex) and one.name not in known:
            one.add(table)


def _column(row: Declared, name: str, annotation: str) -> Column[Any]:
    kind = annotation.removeprefix(MAPPED).removesuffix("]")
    parts, options = row.__dict__.get(name, ((), {}))
    typed = any(isinstance(part, TypeEngine | ForeignKey) for part in parts)
    for part in parts:  # a foreign key has the type of the column it refers to
        if isinstance(part, ForeignKey) and (other := Declared.rows[part.target_fullname.partition(".")[0]]) is not row:
            _ = other.__table__
    types = () if typed else (row.types[kind.removesuffix(OPTIONAL)],)
    return Column(name, *types, *parts, **{"nullable": kind.endswith(OPTIONAL), **options})
