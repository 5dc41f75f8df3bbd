"""Odd values that callers may send by mistake or on purpose: in JSON, URLs and forms."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "nothing": "",
    "NUL": "\0",
    "NUL inside": "MRN1\0",
    "line feed": "+12175550101\n",
    "other digits": "\u0663" * 7,
    "no character": "\uffff\u202e\U0010ffff",
    "long": "x" * 5_000,
    "before all time": "0001-01-01T00:00:00+14:00",
    "first time": "0001-01-01T00:00:00Z",
    "last time": "9999-12-31T23:59:59.999999Z",
    "after all time": "9999-12-31T23:59:59-14:00",
    "huge number": "9" * 400,
    "negative": "-1",
    "not a number": "NaN",
    "pattern": "%'\"\\--{}${x}",
}
JSON: Mapping[str, bytes] = {
    "lone surrogate": rb'"\ud800"',
    "surrogates reversed": rb'"\udc00\ud800"',
    "huge integer": b"9" * 400,
    "beyond 64 bits": b"-9223372036854775809",
    "beyond floats": b"1e999",
    "fraction": b"0.1",
    "yes": b"true",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "deep list": b"[" * 5_000 + b"]" * 5_000,
    "deep object": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "not UTF-8": b'"\xff\xfe"',
    "encoded surrogate": b'"\xed\xa0\x80"',
}
BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"value": "MRN1"}'.encode("utf-16"),
    "NUL": b"\0",
    "cut off": b'{"value": "MRN1',
    "never closed": b"[" * 100_000,
    "same key twice": b'{"value": "a", "value": "b"}',
    "NUL as a key": b'{"\\u0000": 1}',
    **JSON,
}
IN_ADDRESS: Mapping[str, str] = {
    "NUL": "%00",
    "NUL inside": "pt_00000000000%0001",
    "not UTF-8": "%ff%fe",
    "encoded surrogate": "%ed%a0%80",
    "largest": "pt_ffffffffffffffff",
    "line feed": "run_0%0a",
    "other digits": "pt_%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3%D9%A3",
    "long": "x" * 5_000,
    "percent": "%25%",
}
"""As they are written in an address, encoded already."""
