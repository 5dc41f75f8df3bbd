"""How rows are declared: an annotated class with a table of SQLAlchemy's Core behind it, built when it is first asked for.

Only statements and migrations look at the tables. SQLAlchemy's object-relational mapper, of which nothing is used here, takes longer
to import than most commands take to run, and its PostgreSQL, which partial indexes name, a tenth as long.
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
    """The type of a column; ``| None`` lets it be empty."""


def mapped_column(*parts: Any, **options: Any) -> Any:
    """What the type does not say about a column: arguments of ``sqlalchemy.Column``."""
    return parts, options


class PartialIndex(NamedTuple):
    """An index of the rows for which ``where`` (SQL) is true, on either database."""

    name: str
    columns: tuple[str, ...]
    where: str
    unique: bool = False

    def add(self, table: Table) -> None:
        """To the table, as SQLAlchemy knows it, which then imports both dialects."""
        where = text(self.where)
        Index(self.name, *(table.c[name] for name in self.columns), unique=self.unique, postgresql_where=where, sqlite_where=where)


class Declared(type):
    """The type of rows. Their parent gives ``known`` and, by the name of the type, the ``types`` of columns."""

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
        """The table."""
        if cls._built is None:
            with BUILDING:  # threads ask at the same time
                cls._built = cls._built or _table(cls, cls.__dict__["__tablename__"])
        return cls._built

    @property
    def metadata(cls) -> MetaData:
        """Every table that was declared, with its partial indexes."""
        with BUILDING:
            for row in Declared.rows.values():
                _index(row)
        return cls.known


def _table(row: Declared, name: str) -> Table:
    given = row.__dict__.get("__table_args__", ())
    options = {key: value for one in given if isinstance(one, dict) for key, value in one.items()}
    rest = [one for one in given if not isinstance(one, dict | PartialIndex)]
    columns = [_column(row, column, kind) for column, kind in row.__annotations__.items() if kind.startswith(MAPPED)]
    return Table(name, row.known, *columns, *rest, **options)


def _index(row: Declared) -> None:
    """Statements do not ask for partial indexes, so only who wants all tables has them made."""
    table = row.__table__
    known = {index.name for index in table.indexes}
    for one in row.__dict__.get("__table_args__", ()):
        if isinstance(one, PartialIndex) and one.name not in known:
            one.add(table)


def _column(row: Declared, name: str, annotation: str) -> Column[Any]:
    kind = annotation.removeprefix(MAPPED).removesuffix("]")
    parts, options = row.__dict__.get(name, ((), {}))
    typed = any(isinstance(part, TypeEngine | ForeignKey) for part in parts)
    for part in parts:  # what refers to a column has the type of that one
        if isinstance(part, ForeignKey) and (other := Declared.rows[part.target_fullname.partition(".")[0]]) is not row:
            _ = other.__table__
    types = () if typed else (row.types[kind.removesuffix(OPTIONAL)],)
    return Column(name, *types, *parts, **{"nullable": kind.endswith(OPTIONAL), **options})
