"""Finds values of the tests' patients in output. Nothing that is logged may contain them; the output of every test is searched."""

from __future__ import annotations

import re

from adapters.rehearsal.invented import FAMILY, GIVEN

NAMES = ("Invented", *sorted({*FAMILY, *GIVEN} - {"Alder", "Clover", "Checksum", "Finch", "Placeholder", "Seedling", "Standin"}))
PATTERNS = {
    "a phone number": re.compile(r"\+?1?[ (.-]{0,2}\d{3}\D{0,2}555\D?\d{4}\b"),
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.(?:example|test|invalid)\b|[\w.+-]+@example\.\w+"),
    "a record number": re.compile(r"\bMRN\d+"),
    "a name": re.compile(rf"\b(?:{'|'.join(NAMES)})\b"),
    "a message": re.compile(r"\b(?:MSH\|\^|PID\|)|\"resourceType\""),
}


def leaks(text: str) -> list[str]:
    """Patient data in a text: its kind and the text around it."""
    return [f"{kind}: …{_around(text, found)}…" for kind, pattern in PATTERNS.items() for found in pattern.finditer(text)]


def _around(text: str, found: re.Match[str]) -> str:
    return text[max(0, found.start() - 60) : found.end() + 20].replace("\n", " ")
