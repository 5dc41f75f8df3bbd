"""The sender's own name for a payload."""

from __future__ import annotations

import pytest

from adapters.mapping.evidence import message_name

HEAD = b"MSH|^~\\&|EMR|CLINIC|SYNC|X|20261101083000-0500||ADT^A08|"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (HEAD + b"MSG00001|P|2.5\rPID|1\r", "MSG00001"),
        (HEAD + b"MSG00001", "MSG00001"),
        (HEAD.replace(b"|", b"!") + b"MSG00001!P\r", "MSG00001"),
        (b"\x0b" + HEAD + b"A-1|P\r", "A-1"),
        (b"The head of it:\r" + HEAD + b"A-1|P\r", "A-1"),
        (b"FHS|^~\\&\rBHS|^~\\&\r" + HEAD + b"A-1|P\r", "A-1"),
        (HEAD + b"Person Invented|P\r", ""),
        (HEAD + b"\xff|P\r", ""),
        (HEAD + b"A" * 200 + b"|P\r", ""),
        (HEAD[:-1], ""),
        (b"MSH", ""),
        (b"PID|1||MRN1\r", ""),
        (b'{"resourceType": "Consent", "id": "c-17", "patient": {}}', "Consent/c-17"),
        (b'\xef\xbb\xbf\n{"resourceType": "Patient", "id": "1"}', "Patient/1"),
        (b'{"resourceType": "Patient", "id": 7}', ""),
        (b'{"resourceType": "Patient", "id": "Invented Person"}', ""),
        (b'{"resourceType": "patient name", "id": "1"}', ""),
        (b'{"id": "1"}', ""),
        (b'{"resourceType": "Patient", "id": "1"', ""),
        (b'[{"resourceType": "Patient", "id": "1"}]', ""),
        (b"[" * 100_000, ""),
        (b"{" + b'"a":{' * 100_000, ""),
        (b"", ""),
    ],
)
def test_the_senders_name_of_a_payload_is_found(payload: bytes, expected: str) -> None:
    assert message_name(payload) == expected
