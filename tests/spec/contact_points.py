"""How a FHIR source reads contact points that its EMR keeps in an extension (option ``telecom``), beside ``Patient.telecom``.

A place that is absent states nothing. A place without a ContactPoint is unreadable. Neither clears an earlier value.
Numbers without a country are US numbers. Every number and address is invented.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"
BEGIN, END = "<!-- contact points: written by python -m tests.spec.contact_points -->", "<!-- end of contact points -->"
URL = "https://emr.example/phone"
NOTHING = "nothing"


class Row(NamedTuple):
    """``telecom`` and ``held`` (what the extensions have besides their URL): ``None`` if the Patient has no such element.

    ``phones`` and ``email``: the list stated; empty if it clears the earlier one, ``nothing`` if it leaves it as it is.
    """

    rule: str
    telecom: Any
    held: tuple[Any, ...] | None
    phones: str
    email: str
    reports: str = ""


def point(value: str | None = "217-555-0123", system: str = "phone", **others: Any) -> dict[str, Any]:
    return {"system": system, **({} if value is None else {"value": value}), **others}


def value(*args: Any, **others: Any) -> dict[str, Any]:
    return {"valueContactPoint": point(*args, **others)}


MAIL = point("pat@example.org", "email")
MASKED = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "a value that was masked"}]}
INSIDE = {"extension": [{"url": "number", **value()}, {"url": "verified", "valueBoolean": True}]}
CONTACT_POINTS = (
    Row("a ContactPoint", None, (value(use="home"),), "home +12175550123", NOTHING),
    Row("a ContactPoint in an extension inside", None, (INSIDE,), "other +12175550123", NOTHING),
    Row("several extensions with the same URL", None, (value(), value("217-555-0124")), "other +12175550123, other +12175550124", NOTHING),
    Row("an address", None, (value("pat@example.org", "email"),), NOTHING, "pat@example.org"),
    Row("a phone, and an address in telecom", [MAIL], (value(),), "other +12175550123", "pat@example.org"),
    Row("a phone, and another one in telecom", [point("217-555-0124")], (value(),), "other +12175550124, other +12175550123", ""),
    Row("absent", None, None, NOTHING, NOTHING),
    Row("absent, and an address in telecom", [MAIL], None, NOTHING, "pat@example.org"),
    Row("absent, and a phone in telecom", [point()], None, "other +12175550123", NOTHING),
    Row("a phone of use old", [MAIL], (value(use="old"),), "", "pat@example.org"),
    Row("a value that was masked", [MAIL], (MASKED,), NOTHING, "pat@example.org"),
    Row("a ContactPoint without a value", [MAIL], (value(None),), NOTHING, "pat@example.org"),
    Row("a text", [MAIL], ({"valueString": "217-555-0123"},), NOTHING, "pat@example.org", "contact_point_unreadable"),
    Row("a ContactPoint without a valid number", [MAIL], (value("ask daughter"),), NOTHING, "pat@example.org", "phone_unusable"),
    Row(
        "a phone, and what is not a ContactPoint",
        None,
        (value(), {"valueContactPoint": "?"}),
        "other +12175550123",
        NOTHING,
        "contact_point_unreadable",
    ),
    Row(
        "a phone with a remark that refuses",
        None,
        (value("217-555-0123 do not call"),),
        "other +12175550123, no voice +12175550123",
        NOTHING,
        "phone_refused",
    ),
)


def table() -> str:
    """The rows as Markdown."""
    lines = [
        f"| {row.rule} | {_systems(row.telecom)} | {row.phones or 'cleared'} | {row.email or 'cleared'} | {row.reports} |"
        for row in CONTACT_POINTS
    ]
    return "\n".join((BEGIN, "", "| in the extension | `telecom` | phones | email | problems |", "|---|---|---|---|---|", *lines, "", END))


def _systems(telecom: Any) -> str:
    return "absent" if telecom is None else ", ".join(one["system"] for one in telecom)


def page() -> str:
    """The page with the current table."""
    text = PAGE.read_text("utf-8")
    return text[: text.index(BEGIN)] + table() + text[text.index(END) + len(END) :]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
