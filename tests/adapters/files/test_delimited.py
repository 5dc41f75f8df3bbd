"""Delimited extracts become statements: wide, long and joined, in any order, delta and snapshot."""

from __future__ import annotations

import gzip
import io
import os
import random
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.base import AdapterError, Fetch
from adapters.files.options import extract
from adapters.mapping.rules import MappingError
from store.preference import Identifier, PatientStatements
from tests.adapters.files.made import (
    ANSWERS,
    DNC,
    JOINED,
    LONG,
    MEDIA,
    NOW,
    SMS_ROW,
    WIDE,
    Result,
    adapter,
    joined,
    names,
    read,
    settings,
    write,
)


def test_a_wide_file_has_a_row_for_each_patient(tmp_path: Path) -> None:
    write(tmp_path, "wide_20261128.csv", "ID,DNC,Cell Phone", "M1,Y,2175550101", "M2,N,")
    record = {"id": "ID", "patient_id": "ID", "phones": [{"number": "Cell_Phone", "kind": "cell"}]}
    found = read(tmp_path, record=record)
    first, second = found.patients
    assert first.identifiers == (Identifier("GENHOSP", "MR", "M1"), Identifier("clinic-emr", "RI", "M1"))
    assert {name: one.value for name, one in first.statements.items() if name != "phones"} == {"do_not_contact": "yes"}
    assert [phone.number for phone in first.statements["phones"].value] == ["+12175550101"]
    assert set(second.statements) == {"do_not_contact"}, "an empty field states nothing, and takes no phone back"
    assert names(tmp_path / "done") == ["wide_20261128.csv"]
    assert found.error == ""


def test_a_long_file_has_a_row_for_each_preference_in_any_order(tmp_path: Path) -> None:
    rows = [f"M{number},{concept},{answer}" for number in range(50) for concept, answer in (("SMS", "N"), ("CALL", "Y"), ("MAIL", "Y"))]
    random.Random(4).shuffle(rows)
    write(tmp_path, "long_20261128.csv", "ID,CONCEPT,ANSWER", *rows)
    rules = SMS_ROW | {"consent.voice": {"from": "rows[CONCEPT=CALL].ANSWER", "values": ANSWERS}}
    found = read(tmp_path, LONG, rules)
    assert found.stated == {f"M{number}": {"consent.sms": "denied", "consent.voice": "granted"} for number in range(50)}
    assert len(found.patients) == 50


def test_joined_files_are_one_record(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7", "M2,8", "M3,"], ["8,1,Recall", "7,2,Billing", "7,1,Recall"], ["7,2,E", "8,1,X", "7,1,T", "8,1,E"])
    found = read(tmp_path, JOINED, MEDIA)
    assert found.stated == {
        "M1": {"topic.recalls.sms": "granted"},
        "M2": {f"topic.recalls.{channel}": "denied" for channel in ("sms", "voice", "email")},
        "M3": {},
    }
    assert names(tmp_path / "done") == ["media_20261128.csv", "patients_20261128.csv", "preferences_20261128.csv"]


def test_an_incomplete_set_is_not_read_and_reported_after_its_patience(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7"], ["7,1,Recall"], ["7,1,X"])
    (tmp_path / "media_20261128.csv").unlink()
    early, late = read(tmp_path, JOINED, MEDIA), read(tmp_path, JOINED, MEDIA, patience=60)
    assert (early.items, early.error) == ([], "")
    assert early.notes == ["the set 2026-11-28 waits for media"]
    assert late.error == "the set 2026-11-28 waits for media"
    assert names(tmp_path) == ["patients_20261128.csv", "preferences_20261128.csv"]


def test_one_bad_file_rejects_its_set_and_not_the_next_set(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7"], ["7,1,Recall"], ["7,1,X"])
    write(tmp_path, "media_20261128.csv", "PREF,GROUP,KIND", "7,1,X")
    joined(tmp_path, ["M2,7"], ["7,1,Recall"], ["7,1,X"], day="20261129")
    found = read(tmp_path, JOINED, MEDIA)
    assert found.reasons == ["columns_missing"]
    assert list(found.stated) == ["M2"]
    assert found.error == "set 2026-11-28 was rejected (columns_missing)"
    assert len(names(tmp_path / "error")) == len(names(tmp_path / "done")) == 3


def test_sets_are_read_in_the_order_of_date_and_sequence(tmp_path: Path) -> None:
    tables = {"patients": {"file": "w_{sequence}_%Y%m%d.csv", "patient": "ID"}}
    for name in ("w_10_20261128.csv", "w_9_20261128.csv", "w_1_20261129.csv"):
        write(tmp_path, name, "ID,DNC", f"{name[2:4].strip('_')}-{name[-6:-4]},Y")
    assert list(read(tmp_path, tables).stated) == ["9-28", "10-28", "1-29"]


@pytest.mark.parametrize(
    ("first", "second", "missing"),
    [
        ("w_20261128_1.csv", "w_20261128_2.csv", ""),
        ("w_20261128_1.csv", "w_20261128_4.csv", "sequences 2 to 3"),
        ("w_20261128_7.csv", "w_20261129_8.csv", ""),
        ("w_20261128_7.csv", "w_20261129_1.csv", ""),
        ("w_20261128_7.csv", "w_20261129_2.csv", "sequence 1"),
        ("w_20261128_7.csv", "w_20261129_9.csv", "sequence 8"),
        ("w_20261126_1.csv", "w_20261128_2.csv", "the sets between 2026-11-26 and 2026-11-28"),
    ],
)
def test_a_missing_set_is_an_alarm_and_the_rest_is_read(tmp_path: Path, first: str, second: str, missing: str) -> None:
    tables = {"patients": {"file": "w_%Y%m%d_{sequence}.csv", "patient": "ID"}}
    reader = adapter(tmp_path, tables, every=86_400)
    write(tmp_path, first, "ID,DNC", "M1,Y")
    cursor = Result(reader).cursor
    write(tmp_path, second, "ID,DNC", "M2,Y")
    found = Result(reader, cursor)
    assert list(found.stated) == ["M2"]
    assert found.reasons == (["set_missing"] if missing else [])
    assert found.error == (f"missing: {missing}" if missing else "")


def test_the_date_in_the_name_is_the_time_of_its_records(tmp_path: Path) -> None:
    write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,Y")
    (one,) = read(tmp_path).patients
    assert one.effective.earliest == datetime(2026, 11, 28, 6, 0, tzinfo=UTC), "midnight in the source's time zone"
    assert one.effective.latest < datetime(2026, 11, 29, 6, 0, tzinfo=UTC)


def test_a_column_of_the_row_comes_before_the_date_in_the_name(tmp_path: Path) -> None:
    tables = {"patients": WIDE["patients"] | {"dates": {"CHANGED": "%m/%d/%Y %I:%M %p"}}}
    write(tmp_path, "wide_20261128.csv", "ID,DNC,CHANGED", "M1,Y,11/02/2026 03:30 PM", "M2,Y,")
    first, second = read(tmp_path, tables, record={"id": "ID", "patient_id": "ID", "updated": "CHANGED"}).patients
    assert first.effective.earliest == datetime(2026, 11, 2, 21, 30, tzinfo=UTC)
    assert (first.effective.latest - first.effective.earliest).total_seconds() < 60, "as precise as it was written"
    assert second.effective.earliest == datetime(2026, 11, 28, 6, 0, tzinfo=UTC)


def test_without_a_date_a_record_is_as_old_as_anything_until_its_file_was_written(tmp_path: Path) -> None:
    tables = {"patients": {"file": "w.csv", "patient": "ID"}}
    write(tmp_path, "w.csv", "ID,DNC", "M1,Y")
    (one,) = read(tmp_path, tables).patients
    assert one.effective.earliest.year == 1900
    write(tmp_path, "w.csv", "ID,DNC", "M1,Y")
    (dated,) = read(tmp_path, tables, as_of="modified").patients
    assert (NOW - dated.effective.earliest).total_seconds() == 3600


@pytest.mark.parametrize(
    ("field", "dialect", "stated"),
    [
        ("", {}, {}),
        ('""', {}, {}),
        ("  ", {}, {}),
        ("NULL", {"nulls": {"NULL": "no_statement"}}, {}),
        ("\\N", {"nulls": {"NULL": "no_statement", "\\N": "clear"}}, {"do_not_contact": None}),
        ("", {"empty": "clear"}, {"do_not_contact": None}),
        ('""', {"empty": "clear"}, {}),
        ('""', {"quoted_empty": "clear"}, {"do_not_contact": None}),
        ("", {"quoted_empty": "clear"}, {}),
        ('"NULL"', {"nulls": {"NULL": "clear"}}, "NULL in quotes is a text"),
    ],
)
def test_empty_quoted_empty_and_each_null_have_their_own_meaning(tmp_path: Path, field: str, dialect: dict[str, Any], stated: Any) -> None:
    write(tmp_path, "wide_20261128.csv", "ID,DNC,X", f"M1,{field},x")
    found = read(tmp_path, dialect=dialect)
    assert found.stated["M1"] == (stated if isinstance(stated, dict) else {})
    assert bool(found.unreadable) == isinstance(stated, str)


@pytest.mark.parametrize(
    ("encoding", "dialect", "end"),
    [
        ("utf-8", {}, "\n"),
        ("utf-8-sig", {}, "\r\n"),
        ("utf-16", {}, "\r\n"),
        ("utf-16-le", {"encoding": "utf-16-le"}, "\n"),
        ("utf-32", {}, "\n"),
        ("cp1252", {"encoding": "windows-1252"}, "\r\n"),
        ("utf-8", {"line_end": "cr"}, "\r"),
        ("utf-8", {"line_end": "crlf"}, "\r\n"),
        ("utf-8", {"delimiter": "\t"}, "\n"),
        ("utf-8", {"delimiter": "|", "quote": "none"}, "\n"),
    ],
)
def test_dialects(tmp_path: Path, encoding: str, dialect: dict[str, Any], end: str) -> None:
    delimiter = dialect.get("delimiter", ",")
    rows = [row.replace(",", delimiter) for row in ("ID,DNC,NAME", "M1,Y,Zoë")]
    write(tmp_path, "wide_20261128.csv", *rows, encoding=encoding, end=end)
    found = read(tmp_path, dialect=dialect, record={"id": "ID", "patient_id": "ID", "name": ["NAME"]})
    assert found.stated == {"M1": {"do_not_contact": "yes", "display_name": "Zoë"}}
    assert found.reasons == []


def test_columns_by_position(tmp_path: Path) -> None:
    tables = {"patients": WIDE["patients"] | {"header": False, "columns": ["ID", "NAME", "DNC"]}}
    write(tmp_path, "wide_20261128.csv", "M1,x,Y", "M2,y,N")
    assert read(tmp_path, tables).stated == {"M1": {"do_not_contact": "yes"}, "M2": {"do_not_contact": "no"}}


def test_columns_may_be_in_another_order_and_case(tmp_path: Path) -> None:
    write(tmp_path, "wide_20261128.csv", "dnc,Id,more", "Y,M1,x")
    assert read(tmp_path).stated == {"M1": {"do_not_contact": "yes"}}


@pytest.mark.parametrize("kind", ["gzip", "two gzip members", "zip"])
def test_compressed_files(tmp_path: Path, kind: str) -> None:
    body = b"ID,DNC\nM1,Y\n"
    packed = gzip.compress(body) if kind == "gzip" else gzip.compress(body[:9]) + gzip.compress(body[9:])
    path = tmp_path / "wide_20261128.csv"
    path.write_bytes(zipped({"x/anything.csv": body}) if kind == "zip" else packed)
    assert read(tmp_path).stated == {"M1": {"do_not_contact": "yes"}}


def zipped(members: dict[str, bytes], **options: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body, **options)
    return stream.getvalue()


def test_a_whole_set_in_one_archive(tmp_path: Path) -> None:
    tables = {name: table | {"file": f"{name}.csv"} for name, table in JOINED.items()}
    parts = {
        "patients.csv": b"ID,PREF\nM1,7\n",
        "preferences.csv": b"PREF,LINE,CONCEPT\n7,1,Recall\n",
        "media.csv": b"PREF,GROUP,MEDIUM\n7,1,T\n",
    }
    (tmp_path / "extract_20261128.zip").write_bytes(
        zipped({f"out/{name}": body for name, body in parts.items()} | {"README.txt": b"hello"})
    )
    found = read(tmp_path, tables, MEDIA, archive="extract_%Y%m%d.zip")
    assert found.stated == {"M1": {"topic.recalls.sms": "granted"}}
    assert names(tmp_path / "done") == ["extract_20261128.zip"]


@pytest.mark.parametrize(("done", "marker"), [("{file}.done", "wide_20261128.csv.done"), ("wide_%Y%m%d.ok", "wide_20261128.ok")])
def test_a_file_waits_for_its_marker(tmp_path: Path, done: str, marker: str) -> None:
    write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,Y")
    write(tmp_path, "wide_20261127.csv.done" if "{" in done else "wide_20261127.ok")
    waiting = read(tmp_path, done=done)
    assert (waiting.items, waiting.notes[0]) == ([], "the set 2026-11-28 waits for done")
    write(tmp_path, marker)
    assert list(read(tmp_path, done=done).stated) == ["M1"]
    assert names(tmp_path / "done") == sorted([marker, "wide_20261128.csv"])


@pytest.mark.parametrize(("trailer", "counts", "reasons"), [("TRL,2", "rows", []), ("TRL,4", "lines", []), ("TRL,0002", "rows", [])])
def test_a_trailer_that_counts_right(tmp_path: Path, trailer: str, counts: str, reasons: list[str]) -> None:
    write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,Y", "M2,Y", trailer)
    found = read(tmp_path, trailer={"starts": "TRL", "field": 2, "counts": counts})
    assert (len(found.patients), found.reasons) == (2, reasons)


def test_the_last_batch_of_a_snapshot_says_since_when_everybody_was_read(tmp_path: Path) -> None:
    write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,Y")
    found = read(tmp_path, semantics="snapshot")
    assert [one.everybody_since for one in found.batches if one.everybody_since] == [NOW]
    write(tmp_path, "wide_20261129.csv", "ID,DNC", "M1,Y")
    assert not any(one.everybody_since for one in read(tmp_path).batches), "a delta is no list of all patients"


def test_a_dry_read_moves_nothing(tmp_path: Path) -> None:
    write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,Y")
    assert len(Result(adapter(tmp_path), dry=True).patients) == 1
    assert names(tmp_path) == ["wide_20261128.csv"]


def test_kept_files_are_read_once_and_again_by_a_full_read(tmp_path: Path) -> None:
    reader = adapter(tmp_path, after="keep")
    write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,Y")
    first = Result(reader)
    assert len(first.patients) == 1
    assert Result(reader, first.cursor).items == []
    assert len(Result(reader, first.cursor, full=True).patients) == 1
    os.utime(write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,N"), (NOW.timestamp() - 60,) * 2)
    assert Result(reader, first.cursor).stated == {"M1": {"do_not_contact": "no"}}


@pytest.mark.parametrize("request_", [Fetch(patient="M1"), Fetch(since=NOW)])
def test_a_folder_cannot_be_asked_for_a_part(tmp_path: Path, request_: Fetch) -> None:
    with pytest.raises(AdapterError, match="without --patient"):
        list(adapter(tmp_path).fetch(request_))


def test_explain_reads_the_set_that_a_file_begins(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7"], ["7,1,Recall"], ["7,1,T"])
    reader = adapter(tmp_path, JOINED, MEDIA)
    (payload,) = reader.payloads(tmp_path / "patients_20261128.csv")
    found = reader.mapper.explain(payload)
    assert ("topic.recalls.sms", "granted", "preferences[0].media[0].MEDIUM") in found.stated
    assert list(reader.payloads(tmp_path / "media_20261128.csv")) == [], "its rows are part of the patients' records"
    (tmp_path / "media_20261128.csv").unlink()
    with pytest.raises(AdapterError, match="in no complete set"):
        list(reader.payloads(tmp_path / "patients_20261128.csv"))


def test_explain_reads_a_single_file_with_any_name(tmp_path: Path) -> None:
    reader = adapter(tmp_path)
    (payload,) = reader.payloads(write(tmp_path, "sample.csv", "ID,DNC,OTHER", "M1,Y,x"))
    assert [path for path, _ in reader.mapper.explain(payload).unused] == ["OTHER"]


def test_check_says_what_waits_and_whether_a_cut_file_would_be_noticed(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7"], [], [])
    (tmp_path / "media_20261128.csv").unlink()
    write(tmp_path, "other.txt", "x")
    found = {one.what: one for one in adapter(tmp_path, JOINED, MEDIA).check()}
    assert [name for name, one in found.items() if not one.ok] == ["sets", "names"]
    assert "cut off is not detected" in found["completeness"].detail
    assert "other.txt" not in "".join(one.detail for one in found.values())


@pytest.mark.parametrize(
    ("tables", "options", "words"),
    [
        ({}, {}, "tables is missing"),
        ({"a": {"file": "a.csv"}}, {}, "needs 'patient'"),
        ({"a": {"file": "a.csv", "patient": "X"}}, {}, "record.id is 'ID'"),
        (
            {"a": {"file": "a.csv", "patient": "ID"}, "b": {"file": "b.csv", "into": "c", "join": {"X": "ID"}}},
            {},
            "name a table that is written above",
        ),
        ({"a": {"file": "a.csv", "patient": "ID"}, "b": {"file": "b.csv", "patient": "ID"}}, {}, "all tables but the first join"),
        (
            {"a": {"file": "a_%Y%m%d.csv", "patient": "ID"}, "b": {"file": "b.csv", "into": "a", "join": {"X": "ID"}}},
            {},
            "same date and sequence",
        ),
        ({"a": {"file": "a_%Y.csv", "patient": "ID"}}, {}, "year, month and day"),
        ({"a": {"file": "a_%Q.csv", "patient": "ID"}}, {}, "cannot be read at '%Q.csv'"),
        ({"a": {"file": "a.csv", "patient": "ID"}}, {"as_of": "name"}, "has no date"),
        ({"a": {"file": "a.csv", "patient": "ID"}}, {"every": 60}, "every needs a date"),
        ({"a": {"file": "a.csv", "patient": "ID", "header": False}}, {}, "has no header, so it needs 'columns'"),
        ({"rows": {"file": "a.csv", "patient": "ID"}}, {}, "not usable as a name"),
        ({"a": {"file": "a.csv", "patient": "ID"}}, {"dialect": {"encoding": "klingon"}}, "encoding 'klingon' is unknown"),
        ({"a": {"file": "a.csv", "patient": "ID"}}, {"dialect": {"delimiter": '"'}}, "two different characters"),
    ],
)
def test_a_wrong_setting_says_what_is_wrong(tables: dict[str, Any], options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        extract(settings(tables, DNC, **options))


def test_a_rule_for_phones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError):
        adapter(tmp_path, mapping={"phones": {"from": "CELL"}})


def test_columns_that_rules_read_are_known_by_table() -> None:
    found = extract(settings(JOINED, MEDIA))
    assert {table.name: set(table.used) for table in found.tables} == {
        "patients": {"ID", "PREF"},
        "preferences": {"PREF", "LINE", "CONCEPT"},
        "media": {"PREF", "GROUP", "MEDIUM"},
    }


def test_records_are_frozen_statements(tmp_path: Path) -> None:
    write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,Y")
    (one,) = read(tmp_path).items
    assert isinstance(one, PatientStatements)
    assert one.evidence_id == "Patient/M1"
