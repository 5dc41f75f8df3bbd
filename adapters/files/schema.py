"""The settings of delimited extracts: names and kinds. What is not written is left to the adapter's own default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from adapters.folders import schema as folders
from adapters.folders.schema import LocalOptions
from adapters.record.schema import RecordPart
from adapters.schema import OneOrMore, OneOrSeveral, Seconds, SettingsGroup

Meaning = Literal["no_statement", "clear"]
OneCharacter = Annotated[str, Field(min_length=1, max_length=1)]


class DialectPart(SettingsGroup):
    """How rows are written (``adapters.files.dialect``)."""

    delimiter: OneCharacter | None = None
    quote: OneCharacter | Literal["none"] | None = None
    escape: Literal["doubled", "backslash"] | None = None
    encoding: str | None = None
    line_end: Literal["any", "crlf", "lf", "cr"] | None = None
    multiline: bool | None = None
    empty: Meaning | None = None
    quoted_empty: Meaning | None = None
    nulls: dict[str, Meaning] = Field(default_factory=dict)


class TrailerPart(SettingsGroup):
    """The last line of a file, which counts the others."""

    starts: Annotated[str, Field(min_length=1)]
    field: OneOrMore
    counts: Literal["rows", "lines"] = "rows"


class TablePart(SettingsGroup):
    """One file of a set. ``patient``: the columns that name the patient, in the first table. ``into`` and ``join``: its rows belong to rows
    of another table.
    """

    file: Annotated[str, Field(min_length=1)]
    header: bool = True
    columns: list[str] = Field(default_factory=list)
    patient: OneOrSeveral = ()
    rows: Literal["one", "many"] = "one"
    into: str | None = None
    join: dict[str, str] = Field(default_factory=dict)
    optional: list[str] = Field(default_factory=list)
    unmatched: Literal["report", "ignore"] = "report"
    dates: dict[str, str] = Field(default_factory=dict)


class ExtractOptions(SettingsGroup):
    """What every delimited source has. A preset usually provides ``tables``, ``dialect`` and ``record``."""

    tables: Annotated[dict[str, TablePart], Field(min_length=1)]
    semantics: Literal["delta", "snapshot"]
    record: RecordPart
    dialect: DialectPart = DialectPart()
    trailer: TrailerPart | None = None
    archive: str | None = None
    done: str | None = None
    as_of: Literal["name", "modified"] | None = None
    every: Seconds | None = None
    patience: Seconds | None = None
    max_unpacked_bytes: OneOrMore | None = None
    patient_id_from: str | None = None


class DelimitedOptions(ExtractOptions, LocalOptions):
    """``files.delimited``."""


class DelimitedSftpOptions(ExtractOptions, folders.SftpOptions):
    """``files.sftp``."""
