"""Strict validation with hl7apy."""

from __future__ import annotations

import subprocess
import sys

from adapters.hl7v2 import strict
from tests.adapters.hl7v2.messages import adt

GOOD = (
    b"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|20261101083000||ADT^A08^ADT_A01|MSG1|P|2.5\r"
    b"EVN||20261101083000\rPID|||MRN1^^^GENHOSP^MR||Example^Pat\rPV1||O\r"
)


def test_a_conforming_message_has_no_problems() -> None:
    assert strict.validate(GOOD) == []


def test_missing_required_elements_are_named() -> None:
    problems = strict.validate(GOOD.replace(b"PV1||O\r", b""))
    assert any("PV1" in one for one in problems)


def test_values_are_not_quoted() -> None:
    problems = strict.validate(GOOD.replace(b"PV1||O", b"PV1||SECRET"))
    assert "SECRET" not in " ".join(problems)


def test_invalid_messages_are_described_plainly() -> None:
    assert strict.validate(b"hello") == ["this does not start with an MSH segment, so it is not an HL7 v2 message"]
    assert strict.validate(adt(header="MSH|^~\\&|A|B|C|D|2026||ADT^A08|1|P|9.9"))


def test_the_slow_library_is_imported_only_when_it_is_used() -> None:
    script = "import sys, adapters.hl7v2.mllp, adapters.hl7v2.strict; sys.exit('hl7apy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
