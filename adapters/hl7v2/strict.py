"""Validates a message strictly against its version of the standard, with hl7apy. For diagnosis only, because it is slow."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import read

# hl7apy quotes values that are not in a table. The report must not contain values.
_VALUE = re.compile(r"Value .* not in table", re.DOTALL)


def validate(body: bytes) -> list[str]:
    """The errors of the message as sentences without values; empty if it conforms to its version."""
    try:
        message = read(body)
    except UnusableMessage as error:
        return [error.detail]
    from hl7apy.exceptions import HL7apyException
    from hl7apy.parser import parse_message

    try:
        return _report(parse_message("\r".join(message.lines) + "\r"))
    except HL7apyException as error:
        return [f"hl7apy cannot read it: {type(error).__name__}"]


def _report(parsed: Any) -> list[str]:
    from hl7apy.exceptions import HL7apyException

    with TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        try:
            parsed.validate(report_file=str(report))
        except HL7apyException as error:
            if not report.exists():
                return [_VALUE.sub("A value is not in table", str(error))]
        return [_VALUE.sub("A value is not in table", line).strip() for line in report.read_text().splitlines() if line.strip()]
