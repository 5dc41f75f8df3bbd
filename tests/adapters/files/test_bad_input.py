"""Every kind of bad input has its reason; nothing is lost, and nothing is permitted by it."""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Fetch, Unmappable
from adapters.files import loading, rows, unpack
from adapters.files.rejected import FileRejected
from adapters.locators import opaque
from tests.adapters.files.made import JOINED, LONG, MEDIA, NOW, SMS_ROW, WIDE, Result, adapter, joined, names, read, write
from tests.adapters.files.test_delimited import zipped

FILE = "wide_20261128.csv"
TRAILER = {"trailer": {"starts": "TRL", "field": 2}}


@pytest.mark.parametrize(
    ("lines", "options", "reason"),
    [
        (["ID,OTHER", "M1,Y"], {}, "columns_missing"),
        (["ID;DNC", "M1;Y"], {}, "columns_missing"),
        (["ID,DNC,DNC", "M1,Y,N"], {}, "columns_repeated"),
        ([], {}, "file_empty"),
        (["ID,DNC", "M1,Y", "TRL,2"], TRAILER, "trailer_count_mismatch"),
        (["ID,DNC", "M1,Y", "TRL,0"], TRAILER, "trailer_count_mismatch"),
        (["ID,DNC", "M1,Y"], TRAILER, "trailer_missing"),
        (["ID,DNC", "M1,Y", "TRL"], TRAILER, "trailer_unreadable"),
        (["ID,DNC", "M1,Y", "TRL,many"], TRAILER, "trailer_unreadable"),
        (["ID,DNC", "TRL,0", "M1,Y"], TRAILER, "trailer_not_last"),
        (["ID,DNC", *["M1"] * 200], {}, "too_many_bad_rows"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_rejected_as_a_whole(
    tmp_path: Path, lines: list[str], options: dict[str, Any], reason: str
) -> None:
    write(tmp_path, FILE, *lines)
    found = read(tmp_path, **options)
    assert (found.reasons, found.patients) == ([reason], [])
    assert found.error == f"set 2026-11-28 was rejected ({reason})"
    assert names(tmp_path / "error") == [FILE]
    assert found.items[0].locator == opaque(FILE)


@pytest.mark.parametrize(
    ("row", "reason", "dialect"),
    [
        ("M2", "row_too_short", {}),
        ("M2,N,x,y", "row_too_wide", {}),
        ('M2,"N,x', "quote_not_closed", {}),
        ('M2,"N"x,x', "quote_misplaced", {}),
        (",N,x", "key_missing", {}),
        ('"",N,x', "key_missing", {}),
        ("M2\x00,N,x", "key_unreadable", {}),
        ("M2,N," + "x" * rows.LONGEST_LINE, "row_too_long", {}),
        ('M2,"N,x', "quote_not_closed", {"multiline": True}),
    ],
)
def test_a_bad_row_is_a_rejection_and_the_file_goes_on(tmp_path: Path, row: str, reason: str, dialect: dict[str, Any]) -> None:
    write(tmp_path, FILE, "ID,DNC,NOTE", "M1,Y,x", row, "M3,N,x")
    found = read(tmp_path, dialect=dialect)
    assert found.reasons == [reason]
    assert {name: found.stated[name] for name in ("M1", "M3")} == {"M1": {"do_not_contact": "yes"}, "M3": {"do_not_contact": "no"}}
    assert not found.stated.get("M2"), "nothing is stated for its patient"
    (rejection,) = (item for item in found.items if isinstance(item, Unmappable))
    assert rejection.locator == f"{opaque(FILE)}:3"
    assert rejection.payload == row.encode()[: loading.rows.LONGEST_LINE][: 64 * 1024]
    assert found.error == ""
    assert names(tmp_path / "done") == [FILE]


@pytest.mark.parametrize("row", ["M2,", "M2,N,x,y", 'M2,"N,x'])
def test_the_patient_of_a_bad_row_is_unreadable_if_its_key_can_be_read(tmp_path: Path, row: str) -> None:
    write(tmp_path, FILE, "ID,DNC,NOTE", row, "M3,N,x")
    found = read(tmp_path)
    assert found.stated == {"M2": {}, "M3": {"do_not_contact": "no"}}
    assert found.unreadable == {"M2": ["do_not_contact"]}


@pytest.mark.parametrize("row", ["M2", "x,M2", '"M2'])
def test_a_cut_key_is_nobodys(tmp_path: Path, row: str) -> None:
    write(tmp_path, FILE, *(["ID,DNC", row] if row != "x,M2" else ["DNC,ID,NOTE", row]))
    found = read(tmp_path)
    assert (len(found.reasons), found.patients) == (1, [])


def test_illegible_bytes_affect_only_their_own_field(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"ID,DNC,NAME\nM1,Y,Zo\xeb\nM2,N\xff,Pat\nM3,N,Pat\x00\n")
    found = read(tmp_path, record={"id": "ID", "patient_id": "ID", "name": ["NAME"]})
    assert found.stated == {"M1": {"do_not_contact": "yes"}, "M2": {"display_name": "Pat"}, "M3": {"do_not_contact": "no"}}
    assert found.unreadable == {"M1": ["display_name"], "M2": ["do_not_contact"], "M3": ["display_name"]}


def test_a_file_in_another_encoding_is_rejected_or_read_by_its_mark(tmp_path: Path) -> None:
    write(tmp_path, FILE, "ID,DNC", "M1,Y", encoding="utf-16-le")
    assert read(tmp_path).reasons == ["encoding_wrong"]
    write(tmp_path, FILE, "ID,DNC", "M1,Y", encoding="utf-16")
    assert list(read(tmp_path).stated) == ["M1"]


def long_rows(*more: bytes) -> bytes:
    return b"\n".join([b"ID,CONCEPT,ANSWER", b"M1,SMS,Y", b"M2,SMS,Y", *more, b""])


@pytest.mark.parametrize(
    "row",
    [b"M1,SMS", b"M1,", b'M1,"SMS,N', b"M1,S\xffMS,N", b"M1,SMS,\x00"],
    ids=["short", "cut", "quote", "illegible concept", "nul"],
)
def test_a_damaged_row_of_a_long_file_takes_its_patients_permissions(tmp_path: Path, row: bytes) -> None:
    """It may be the row that refuses."""
    (tmp_path / "long_20261128.csv").write_bytes(long_rows(row))
    found = read(tmp_path, LONG, SMS_ROW)
    assert found.stated == {"M1": {}, "M2": {"consent.sms": "granted"}}
    assert "consent.sms" in found.unreadable["M1"]


@pytest.mark.parametrize("row", [b",SMS,N", b"M1\xff,SMS,N", b"M", b'"M1,SMS,N'])
def test_a_damaged_row_of_nobody_leaves_a_long_file_only_its_refusals(tmp_path: Path, row: bytes) -> None:
    (tmp_path / "long_20261128.csv").write_bytes(long_rows(b"M3,SMS,N", row))
    found = read(tmp_path, LONG, SMS_ROW)
    assert found.stated == {"M1": {}, "M2": {}, "M3": {"consent.sms": "denied"}}
    assert len(found.reasons) == 1
    assert found.notes == ["set 2026-11-28: some rows cannot be read and their patients are unknown, so only its refusals were applied"]


def test_a_refusal_counts_beside_a_damaged_row(tmp_path: Path) -> None:
    (tmp_path / "long_20261128.csv").write_bytes(long_rows(b"M1,SMS,N", b"M1,CALL"))
    assert read(tmp_path, LONG, SMS_ROW).stated["M1"] == {"consent.sms": "denied"}


def test_rows_that_join_nothing_are_reported_and_nothing_is_permitted_meanwhile(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7", "M2,8"], ["7,1,Recall", "8,1,Recall"], ["7,1,T", "08,1,X", "9,1,X", "8,1,T"])
    found = read(tmp_path, JOINED, MEDIA)
    assert found.reasons == ["rows_unmatched"]
    assert found.stated == {"M1": {}, "M2": {}}
    (rejection,) = (item for item in found.items if isinstance(item, Unmappable))
    assert rejection.detail.startswith("2 rows of media belong to no row of preferences")
    assert rejection.locator == f"{opaque('media_20261128.csv')}:3"


def test_a_site_may_say_that_rows_of_others_are_expected(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7"], ["7,1,Recall", "9,1,Recall"], ["7,1,T"])
    tables = JOINED | {"preferences": JOINED["preferences"] | {"unmatched": "ignore"}}
    assert read(tmp_path, tables, MEDIA).stated == {"M1": {"topic.recalls.sms": "granted"}}


def test_a_damaged_row_of_a_joined_file_takes_permissions_as_in_a_long_file(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7", "M2,8"], ["7,1,Recall", "8,1,Recall"], ["7,1,T", "8,1,T", "7,1,T,x"])
    found = read(tmp_path, JOINED, MEDIA)
    assert found.stated == {"M1": {}, "M2": {"topic.recalls.sms": "granted"}}
    assert {*found.unreadable["M1"]} == {f"topic.recalls.{channel}" for channel in ("sms", "voice", "email")}


def test_a_concept_that_cannot_be_read_may_be_any_concept(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7"], ["7,1,Recall", "7,2,\x00"], ["7,1,T", "7,2,X"])
    found = read(tmp_path, JOINED, MEDIA)
    assert found.stated == {"M1": {}}
    assert found.unreadable["M1"], "the refusal may be about recalls"


def test_equal_rows_count_once_and_different_rows_of_a_patient_are_all_read(tmp_path: Path) -> None:
    write(tmp_path, FILE, "ID,DNC", "M1,Y", "M2,N", "M1,Y", "M1,N")
    found = read(tmp_path)
    assert found.filtered == ["row_repeated"]
    assert [(one.identifiers[0].value, one.statements["do_not_contact"].value) for one in found.patients] == [
        ("M1", "yes"),
        ("M1", "no"),
        ("M2", "no"),
    ]


def test_a_file_that_comes_again_is_recognized(tmp_path: Path) -> None:
    reader = adapter(tmp_path)
    write(tmp_path, FILE, "ID,DNC", "M1,Y")
    first = Result(reader)
    os.utime(write(tmp_path, FILE, "ID,DNC", "M1,Y"), (NOW.timestamp() - 60,) * 2)
    again = Result(reader, first.cursor)
    assert (again.filtered, again.patients) == (["set_repeated"], [])
    assert names(tmp_path / "done") == [FILE, f"{FILE}.1"]
    write(tmp_path, "wide_20261129.csv", "ID,DNC", "M1,Y")
    assert len(Result(reader, again.cursor).patients) == 1, "the same content about another day is news"


def test_two_files_of_one_table_with_one_date_are_two_sets(tmp_path: Path) -> None:
    tables = {"patients": {"file": "wide_%Y%m%d*.csv", "patient": "ID"}}
    os.utime(write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,Y"), (NOW.timestamp() - 60,) * 2)
    os.utime(write(tmp_path, "wide_20261128 (1).csv", "ID,DNC", "M2,N"), (NOW.timestamp() - 90,) * 2)
    assert list(read(tmp_path, tables).stated) == ["M2", "M1"], "the oldest first"


def test_a_half_written_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"ID,DNC\nM1,Y\n")
    assert read(tmp_path, settle=3600).items == []
    write(tmp_path, f"{FILE}.part", "ID,DNC", "M2,Y")
    assert list(read(tmp_path).stated) == ["M1"]


def test_a_file_that_grows_while_it_is_loaded_is_left_for_the_next_run(tmp_path: Path) -> None:
    path = write(tmp_path, FILE, "ID,DNC", "M1,Y")
    fetching = adapter(tmp_path).fetch(Fetch())
    assert next(fetching).wait is not None, "the set is about to be loaded"
    with path.open("ab") as file:
        file.write(b"M2,Y\n")
    assert list(fetching) == []
    assert names(tmp_path) == [FILE]


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / FILE).symlink_to(write(tmp_path / "elsewhere", "secret.csv", "ID,DNC", "M1,Y"))
    assert read(tmp_path).items == []
    assert any(one.what == "links" and not one.ok for one in adapter(tmp_path).check())


@pytest.mark.parametrize("cut", [-1, -5, 40])
@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_a_damaged_archive_is_rejected(tmp_path: Path, kind: str, cut: int) -> None:
    body = b"ID,DNC\n" + b"".join(b"M%d,Y\n" % number for number in range(500))
    packed = gzip.compress(body) if kind == "gzip" else zipped({"a.csv": body})
    (tmp_path / FILE).write_bytes(packed[:cut])
    found = read(tmp_path)
    assert (found.reasons, found.patients) == (["archive_damaged"], [])


def test_a_zip_with_wrong_bytes_is_rejected(tmp_path: Path) -> None:
    packed = bytearray(zipped({"a.csv": b"ID,DNC\nM1,Y\n" * 50}))
    packed[50] ^= 0xFF
    (tmp_path / FILE).write_bytes(packed)
    assert read(tmp_path).reasons == ["archive_damaged"]


@pytest.mark.parametrize("members", [{}, {"a.csv": b"ID,DNC\nM1,Y\n", "b.csv": b"ID,DNC\nM2,N\n"}])
def test_a_zip_must_hold_one_file(tmp_path: Path, members: dict[str, bytes]) -> None:
    (tmp_path / FILE).write_bytes(zipped(members))
    assert read(tmp_path).reasons == ["archive_members"]


def test_an_archive_must_hold_each_table_once(tmp_path: Path) -> None:
    tables = {name: table | {"file": f"{name}.csv"} for name, table in JOINED.items()}
    (tmp_path / "x_20261128.zip").write_bytes(
        zipped({"patients.csv": b"ID,PREF\n", "a/media.csv": b"", "preferences.csv": b"PREF,LINE,CONCEPT\n", "b/media.csv": b""})
    )
    assert read(tmp_path, tables, MEDIA, archive="x_%Y%m%d.zip").reasons == ["archive_members"]
    (tmp_path / "x_20261129.zip").write_bytes(b"PK, but no zip file")
    assert read(tmp_path, tables, MEDIA, archive="x_%Y%m%d.zip").reasons == ["archive_damaged"]


def test_an_encrypted_zip_is_rejected(tmp_path: Path) -> None:
    packed = bytearray(zipped({"a.csv": b"ID,DNC\nM1,Y\n"}))
    packed[6] |= 1
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / FILE).write_bytes(packed)
    assert read(tmp_path).reasons == ["archive_encrypted"]


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_a_zip_bomb_is_stopped_early(tmp_path: Path, kind: str) -> None:
    """100 MB of zeros in 100 kB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1024 * 1024)
    if kind == "gzip":
        (tmp_path / FILE).write_bytes(b"".join([*(packer.compress(zeros) for _ in range(100)), packer.flush()]))
    else:
        with zipfile.ZipFile(tmp_path / FILE, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.csv", "w") as member:
            for _ in range(100):
                member.write(zeros)
    content = unpack.unpacked(iter([(tmp_path / FILE).read_bytes()]), unpack.LARGEST)
    with pytest.raises(FileRejected, match="file_too_large"):
        deque(content, maxlen=0)
    assert read(tmp_path).reasons == ["columns_missing"], "one endless line is not even unpacked so far"


def test_the_largest_file_is_a_setting(tmp_path: Path) -> None:
    write(tmp_path, FILE, "ID,DNC", *["M1,Y"] * 100)
    assert read(tmp_path, max_unpacked_bytes=300).reasons == ["file_too_large"]


def test_text_compresses_less_than_a_bomb() -> None:
    body = b"ID,DNC\n" + b"M1000001,Y,no remarks,,,,,,\n" * 30_000
    packed = gzip.compress(body, 1)
    assert sum(map(len, unpack.unpacked(iter([packed]), len(body)))) == len(body)
    with pytest.raises(FileRejected):
        sum(map(len, unpack.unpacked(iter([packed]), len(body) - 1)))


def test_nothing_that_people_read_quotes_the_file(tmp_path: Path) -> None:
    secret = "Invented-Person"
    for name, lines in {
        "wide_20261101.csv": ["ID,DNC", f"{secret}"],
        "wide_20261102.csv": ["ID,DNC", f"{secret},{secret}"],
        "wide_20261103.csv": [f"ID,{secret}", "M1,Y"],
        "wide_20261104.csv": ["ID,DNC", f'"{secret}'],
        f"wide_20261105_{secret}.csv": ["ID,DNC"],
    }.items():
        write(tmp_path, name, *lines)
    found = read(tmp_path, {"patients": WIDE["patients"] | {"file": "wide_%Y%m%d*.csv"}})
    texts = [f"{item.reason} {item.detail} {item.locator}" for item in found.items if isinstance(item, Unmappable)]
    texts += [one.detail for item in found.patients for one in item.problems]
    assert len(texts) == 4
    assert secret not in " ".join([*texts, *found.notes, found.error, found.cursor or ""])


def test_a_patient_that_needs_reading_again_does_so_by_a_later_file(tmp_path: Path) -> None:
    write(tmp_path, FILE, "ID,DNC", "M1,?")
    assert read(tmp_path).unreadable == {"M1": ["do_not_contact"]}
    write(tmp_path, "wide_20261129.csv", "ID,DNC", "M1,Y")
    assert read(tmp_path).stated == {"M1": {"do_not_contact": "yes"}}
