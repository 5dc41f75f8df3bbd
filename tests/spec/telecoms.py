"""What an HL7 v2 telecommunication number (XTN) becomes, by the rules of HL7's public v2-to-FHIR maps.

Source: HL7/v2-to-fhir, "Data type XTN to ContactPoint", "Table HL70201 to use", "Table HL70202 to system" and "Segment PID to
Patient". A ContactPoint of system *phone* is a phone here, *email* an address; *fax*, *pager* and *other* are neither.
Numbers without a country are dialled from the US. Every number and address is invented.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "hl7v2.md"
BEGIN, END = "<!-- telecoms: written by python -m tests.spec.telecoms -->", "<!-- end of telecoms -->"


class Row(NamedTuple):
    """``xtn`` in ``field``; ``says`` is what is read, empty for nothing."""

    rule: str
    field: str
    xtn: str
    says: str


TELECOMS = (
    Row("0201: PRN is home", "PID-13", "^PRN^PH^^1^217^5550123", "home +12175550123"),
    Row("0201: WPN is work", "PID-13", "^WPN^PH^^1^217^5550123", "work +12175550123"),
    Row("0201: PRS is mobile", "PID-13", "^PRS^PH^^1^217^5550123", "cell +12175550123"),
    Row("0202: CP is a mobile phone", "PID-13", "^PRN^CP^^1^217^5550123", "cell +12175550123"),
    Row("0202: CP at work, too", "PID-14", "^WPN^CP^^1^217^5550123", "cell +12175550123"),
    Row("0202: PH is a phone", "PID-40", "^^PH^^1^217^5550123", "other +12175550123"),
    Row("0202: FX is a fax", "PID-13", "^PRN^FX^^1^217^5550123", ""),
    Row("0202: BP is a pager", "PID-13", "^PRN^BP^^1^217^5550123", ""),
    Row("0201: BPN is a pager", "PID-13", "^BPN^^^1^217^5550123", ""),
    Row("0202: MD is other", "PID-13", "^PRN^MD^^1^217^5550123", ""),
    Row("0202: SAT is other", "PID-13", "^PRN^SAT^^1^217^5550123", ""),
    Row("0202: TDD is other", "PID-13", "^PRN^TDD^^1^217^5550123", ""),
    Row("0202: TTY is other", "PID-13", "^PRN^TTY^^1^217^5550123", ""),
    Row("0202: Internet is e-mail", "PID-13", "^NET^Internet^pat@example.org", "email pat@example.org"),
    Row("0202: Internet in capitals", "PID-13", "^NET^INTERNET^pat@example.org", "email pat@example.org"),
    Row("0202: X.400 is e-mail", "PID-13", "^NET^X.400^pat@example.org", "email pat@example.org"),
    Row("no use in PID-13 is home", "PID-13", "^^PH^^1^217^5550123", "home +12175550123"),
    Row("no use in PID-14 is work", "PID-14", "^^PH^^1^217^5550123", "work +12175550123"),
    Row("neither use nor equipment", "PID-13", "2175550123", "home +12175550123"),
    Row("7 valued: put together of 5, 6, 7", "PID-13", "^PRN^PH^^44^20^79460018", "home +442079460018"),
    Row("7 valued: before 12", "PID-13", "^PRN^PH^^1^217^5550123^^^^^2175550199", "home +12175550123"),
    Row("7 valued: before 1", "PID-13", "2175550199^PRN^PH^^1^217^5550123", "home +12175550123"),
    Row("7 valued: without country", "PID-13", "^PRN^PH^^^217^5550123", "home +12175550123"),
    Row("7 valued: 8 is an extension, not dialled", "PID-14", "^WPN^PH^^1^217^5550123^44", "work +12175550123"),
    Row("7 empty: 12", "PID-13", "^PRN^PH^^^^^^^^^+12175550123", "home +12175550123"),
    Row("7 empty: 12 before 1", "PID-13", "2175550199^PRN^PH^^^^^^^^^2175550123", "home +12175550123"),
    Row("7 and 12 empty: 1", "PID-13", "(217)555-0123X22^PRN^PH", "home +12175550123"),
    Row("4 is the address", "PID-13", "^NET^Internet^pat@example.org^1^217^5550123", "email pat@example.org"),
    Row("14: ended", "PID-13", "^PRN^PH^^1^217^5550123^^^^^^20200101^20201231", ""),
    Row("13, 14: period", "PID-13", "^PRN^PH^^1^217^5550123^^^^^^20200101^20991231", "home +12175550123 2020-01-01..2099-12-31"),
    Row("18: rank", "PID-13", "^PRN^PH^^1^217^5550123^^^^^^^^^^^2", "home +12175550123 rank 2"),
    Row(
        "repetitions are a list",
        "PID-13",
        "^PRN^PH^^1^217^5550123~^NET^Internet^pat@example.org",
        "home +12175550123, email pat@example.org",
    ),
)


def table() -> str:
    """The rows as they stand in the page."""
    lines = [f"| {row.rule} | {row.field} | `{row.xtn}` | {row.says or 'nothing'} |" for row in TELECOMS]
    return "\n".join((BEGIN, "", "| rule | field | sent | read as |", "|---|---|---|---|", *lines, "", END))


def page() -> str:
    """The page with the table as it is now."""
    text = PAGE.read_text("utf-8")
    return text[: text.index(BEGIN)] + table() + text[text.index(END) + len(END) :]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
