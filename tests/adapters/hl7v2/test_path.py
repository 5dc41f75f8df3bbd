"""Paths into a message."""

from __future__ import annotations

import pytest

from adapters.hl7v2.path import compile_path
from adapters.hl7v2.reader import read
from adapters.mapping.rules import FoundValue

MESSAGE = read(
    b"MSH|^~\\&|APP|FAC|||20261101||ADT^A08|1|P|2.5\r"
    b'PID|1||7^^^GEN&1.2.3&ISO^MR~8||||||||||a^PRN~^WPN^PH^x^^^5550101~""|""\r'
    b"PD1|||||||||||02^Reminder^HL70215|\r"
    b"NK1|1|first\rNK1|2|second^2b\r"
    b'ZCP|1|OK~DNC| T |""|^b|esc\\T\\aped|^""\r'
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("ZCP-1", [("1", "ZCP-1")]),
        ("ZCP-2", [("OK", "ZCP-2[1]"), ("DNC", "ZCP-2[2]")]),
        ("ZCP-2[*]", [("OK", "ZCP-2[1]"), ("DNC", "ZCP-2[2]")]),
        ("ZCP-2[2]", [("DNC", "ZCP-2[2]")]),
        ("ZCP-3", [("T", "ZCP-3")]),
        ("ZCP-3[*]", [("T", "ZCP-3[1]")]),
        ("ZCP-4", [(None, "ZCP-4")]),
        ("ZCP-4.7", [(None, "ZCP-4.7")]),
        ("ZCP-5", [("^b", "ZCP-5")]),
        ("ZCP-5.1", []),
        ("ZCP-5.2", [("b", "ZCP-5.2")]),
        ("ZCP-6", [("esc&aped", "ZCP-6")]),
        ("ZCP-7.2", [(None, "ZCP-7.2")]),
        ("ZCP-8", []),
        ("ZCP-99", []),
        ("ZZZ-1", []),
        ("PD1-11", [("02", "PD1-11")]),
        ("PD1-11.1", [("02", "PD1-11.1")]),
        ("PD1-11.2", [("Reminder", "PD1-11.2")]),
        ("PD1-12", []),
        ("PID-3[1].4.2", [("1.2.3", "PID-3[1].4.2")]),
        ("PID-3[1].4", [("GEN", "PID-3[1].4")]),
        ("PID-3[2].1.1", [("8", "PID-3[2].1.1")]),
        ("PID-3[2].4", []),
        ("PID-13[*].7", [("5550101", "PID-13[2].7"), (None, "PID-13[3].7")]),
        ("PID-13[2].2", [("WPN", "PID-13[2].2")]),
        ("PID-14", [(None, "PID-14")]),
        ("NK1-2", [("first", "NK1[1]-2"), ("second", "NK1[2]-2")]),
        ("NK1[2]-2", [("second", "NK1[2]-2")]),
        ("NK1[*]-2.2", [("2b", "NK1[2]-2.2")]),
        ("NK1[3]-2", []),
        ("MSH-1", [("|", "MSH-1")]),
        ("MSH-2", [("^~\\&", "MSH-2")]),
        ("MSH-9.2", [("A08", "MSH-9.2")]),
    ],
)
def test_a_path_finds_values_and_their_paths(path: str, found: list[tuple[str | None, str]]) -> None:
    assert list(compile_path(path)(MESSAGE)) == [FoundValue(*one) for one in found]


@pytest.mark.parametrize("path", ["", "PID", "PID-", "PID.3", "pid-3", "PID-3-1", "PID-3.", "PID-3[x]", "Patient.telecom", "PID-3.1.2.3"])
def test_an_invalid_path_is_refused_with_an_example(path: str) -> None:
    with pytest.raises(ValueError, match="ZCP-2"):
        compile_path(path)


@pytest.mark.parametrize("path", ["PID-0", "PID-3[0]", "PID-3.0", "NK1[0]-2"])
def test_counting_from_zero_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="from 1"):
        compile_path(path)
