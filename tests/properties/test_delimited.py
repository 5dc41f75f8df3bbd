"""The parser of delimited files: it reads what Python's csv module writes, and neither cuts nor order of the input matter."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.files.dialect import DelimitedField, Dialect
from adapters.files.rows import decoded, lines, rows
from tests.adapters.files.made import LONG, SMS_ROW, read, write

TEXT = st.text(st.characters(exclude_characters="\x00\ufeff\ufffd", exclude_categories=("Cs",)), max_size=12)
SPECIAL = st.text(st.sampled_from(list("ab,;|\t\"'\r\n \\é")), max_size=8)
TABLE = st.lists(st.lists(TEXT | SPECIAL, min_size=2, max_size=5), min_size=1, max_size=6)


def written(table: list[list[str]], **options: Any) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, **options).writerows(table)
    return stream.getvalue().encode()


def texts(found: Iterator[Any], dialect: Dialect) -> list[list[str]]:
    """The fields of every row as text, as the csv module gives them."""
    return [[field.text for field in dialect.split(row.text)] for row in found]


@given(TABLE, st.sampled_from(",;|\t"), st.sampled_from(["\r\n", "\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_the_csv_module_writes_is_read_as_it_reads_it(table: list[list[str]], delimiter: str, end: str, quoting: int) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # csv writes a lone CR without quotes, and then reads it as the end of a row
        table = [[field.replace("\r", "") for field in row] for row in table]
    body = written(table, delimiter=delimiter, lineterminator=end, quoting=quoting)
    expected = [row for row in csv.reader(io.StringIO(body.decode(), newline=""), delimiter=delimiter) if any(map(str.strip, row))]
    dialect = Dialect(delimiter=delimiter, multiline=True, line_end={"\r\n": "crlf", "\n": "lf"}[end])
    found = list(rows(lines(decoded([body], "utf-8"), dialect.line_end), dialect))
    assert [row.reason for row in found] == [""] * len(found)
    assert [row for row in texts(_whole(body, dialect), dialect) if any(map(str.strip, row))] == expected


def _whole(body: bytes, dialect: Dialect) -> Iterator[Any]:
    return rows(lines(decoded([body], "utf-8"), dialect.line_end), dialect)


@given(TABLE, st.integers(1, 7))
def test_the_cuts_between_chunks_do_not_matter(table: list[list[str]], size: int) -> None:
    body, dialect = written(table), Dialect(multiline=True)
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    assert list(rows(lines(decoded(chunks, "utf-8"), "any"), dialect)) == list(_whole(body, dialect))


@given(st.lists(TEXT | SPECIAL, min_size=1, max_size=5))
def test_backslashes_are_read_as_they_are_written(fields: list[str]) -> None:
    dialect = Dialect(delimiter="\t", quote="", escape="backslash")
    known = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "\x08": "\\b", "\x1a": "\\Z"}
    line = "\t".join("".join(known.get(letter, letter) for letter in field) for field in fields)
    assert [field.text for field in dialect.split(line)] == fields


@given(st.binary(max_size=200))
def test_any_bytes_give_rows_and_never_an_error(body: bytes) -> None:
    for dialect in (Dialect(), Dialect(multiline=True), Dialect(delimiter="\t", quote="", escape="backslash")):
        found = list(_whole(body, dialect))
        assert all(row.reason or row.values for row in found)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["SMS", "CALL"]), st.sampled_from("YN")), max_size=12), st.randoms())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_the_order_of_rows_does_not_matter(tmp_path: Path, table: list[tuple[int, str, str]], random: Any) -> None:
    answers = []
    for _ in range(2):
        write(tmp_path, "long_20261128.csv", "ID,CONCEPT,ANSWER", *(f"M{one},{concept},{answer}" for one, concept, answer in table))
        answers.append(read(tmp_path, LONG, SMS_ROW).stated)
        random.shuffle(table)
    assert answers[0] == answers[1]


def test_a_quoted_empty_field_is_not_an_empty_one() -> None:
    assert Dialect().split('a,"",,"b ""c"""') == [
        DelimitedField("a", raw="a"),
        DelimitedField("", is_quoted=True),
        DelimitedField(""),
        DelimitedField('b "c"', is_quoted=True),
    ]
