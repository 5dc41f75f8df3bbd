"""How an HL7 v2 telecommunication number (XTN) is read: by HL7's public v2-to-FHIR maps, and by the codes that EMRs use beyond them.

Source: HL7/v2-to-fhir, "Data type XTN to ContactPoint", "Table HL70201 to use", "Table HL70202 to system" and "Segment PID to
Patient". A ContactPoint of system *phone* is a phone here, *email* an e-mail address; *fax*, *pager* and *other* are neither: their
numbers are kept as *fax*. Nobody is contacted there, but an opt-out from such a number counts.
Numbers without a country are US numbers. Every number and address is invented.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "hl7v2.md"
BEGIN, END = "<!-- telecoms: written by python -m tests.spec.telecoms -->", "<!-- end of telecoms -->"


class Row(NamedTuple):
    """``xtn`` in ``field``; ``says`` is the result, empty for nothing; ``reports`` are the reason codes of its problems.

    ``clears``: an empty list clears the earlier statement. An unusable value never does.
    """

    rule: str
    field: str
    xtn: str
    says: str
    reports: str = ""
    clears: bool = True


FAX = "fax +12175550123"
TELECOMS = (
    Row("0201: PRN is home", "PID-13", "^PRN^PH^^1^217^5550123", "home +12175550123"),
    Row("0201: WPN is work", "PID-13", "^WPN^PH^^1^217^5550123", "work +12175550123"),
    Row("0201: PRS is mobile", "PID-13", "^PRS^PH^^1^217^5550123", "cell +12175550123"),
    Row("0202: CP is a mobile phone", "PID-13", "^PRN^CP^^1^217^5550123", "cell +12175550123"),
    Row("0202: CP with use work is a mobile phone", "PID-14", "^WPN^CP^^1^217^5550123", "cell +12175550123"),
    Row("0202: PH is a phone", "PID-40", "^^PH^^1^217^5550123", "other +12175550123"),
    Row("0202: FX is a fax", "PID-13", "^PRN^FX^^1^217^5550123", "fax +12175550123"),
    Row("0202: BP is a pager", "PID-13", "^PRN^BP^^1^217^5550123", "fax +12175550123"),
    Row("0201: BPN is a pager", "PID-13", "^BPN^^^1^217^5550123", "fax +12175550123"),
    Row("0202: MD is other", "PID-13", "^PRN^MD^^1^217^5550123", "fax +12175550123"),
    Row("0202: SAT is other", "PID-13", "^PRN^SAT^^1^217^5550123", "fax +12175550123"),
    Row("0202: TDD is other", "PID-13", "^PRN^TDD^^1^217^5550123", "fax +12175550123"),
    Row("0202: TTY is other", "PID-13", "^PRN^TTY^^1^217^5550123", "fax +12175550123"),
    Row("0202: Internet is e-mail", "PID-13", "^NET^Internet^pat@example.org", "email pat@example.org"),
    Row("0202: Internet in capitals", "PID-13", "^NET^INTERNET^pat@example.org", "email pat@example.org"),
    Row("0202: X.400 is e-mail", "PID-13", "^NET^X.400^pat@example.org", "email pat@example.org"),
    Row("no use: home in PID-13", "PID-13", "^^PH^^1^217^5550123", "home +12175550123"),
    Row("no use: work in PID-14", "PID-14", "^^PH^^1^217^5550123", "work +12175550123"),
    Row("neither use nor equipment: home in PID-13", "PID-13", "2175550123", "home +12175550123"),
    Row("7 valued: combined from 5, 6 and 7", "PID-13", "^PRN^PH^^44^20^79460018", "home +442079460018"),
    Row("7 valued: overrides 12", "PID-13", "^PRN^PH^^1^217^5550123^^^^^2175550199", "home +12175550123"),
    Row("7 valued: overrides 1", "PID-13", "2175550199^PRN^PH^^1^217^5550123", "home +12175550123"),
    Row("7 valued: no country", "PID-13", "^PRN^PH^^^217^5550123", "home +12175550123"),
    Row("7 valued: 8 is an extension and is not dialled", "PID-14", "^WPN^PH^^1^217^5550123^44", "work +12175550123"),
    Row("7 empty: 12 is used", "PID-13", "^PRN^PH^^^^^^^^^+12175550123", "home +12175550123"),
    Row("7 empty: 12 overrides 1", "PID-13", "2175550199^PRN^PH^^^^^^^^^2175550123", "home +12175550123"),
    Row("7 and 12 empty: 1 is used", "PID-13", "(217)555-0123X22^PRN^PH", "home +12175550123"),
    Row("4 is the e-mail address", "PID-13", "^NET^Internet^pat@example.org^1^217^5550123", "email pat@example.org"),
    Row("14: the period has ended", "PID-13", "^PRN^PH^^1^217^5550123^^^^^^20200101^20201231", ""),
    Row("13, 14: the period", "PID-13", "^PRN^PH^^1^217^5550123^^^^^^20200101^20991231", "home +12175550123 2020-01-01..2099-12-31"),
    Row("18: rank", "PID-13", "^PRN^PH^^1^217^5550123^^^^^^^^^^^2", "home +12175550123 rank 2"),
    Row(
        "repetitions are a list",
        "PID-13",
        "^PRN^PH^^1^217^5550123~^NET^Internet^pat@example.org",
        "home +12175550123, email pat@example.org",
    ),
    Row("in practice: Epic's mobile", "PID-13", "2175550123^P^M", "cell +12175550123"),
    Row("in practice: Epic's home", "PID-14", "2175550123^P^H", "home +12175550123"),
    Row("in practice: Epic's work", "PID-13", "2175550123^P^W", "work +12175550123"),
    *(
        Row(f"in practice: use {code} is a cell phone", "PID-13", f"2175550123^{code}^PH", "cell +12175550123")
        for code in ("MC", "MOB", "M", "C")
    ),
    *(
        Row(f"in practice: equipment {code} is a cell phone", "PID-13", f"2175550123^PRN^{code}", "cell +12175550123")
        for code in ("CELL", "Mobile", "MC")
    ),
    *(
        Row(f"in practice: equipment {code} is not a phone", "PID-13", f"2175550123^PRN^{code}", "fax +12175550123")
        for code in ("FAX", "PAGER", "Beeper")
    ),
    *(
        Row(f"in practice: use {code} is not a phone", "PID-13", f"2175550123^{code}", "fax +12175550123")
        for code in ("FAX", "FX", "PG", "BP")
    ),
    Row("in practice: an unknown use is other", "PID-13", "2175550123^LOCAL", "other +12175550123"),
    Row("in practice: the same number twice, once as a cell phone", "PID-13", "2175550123^PRN^PH~2175550123^PRN^CP", "cell +12175550123"),
    Row("6 and 7 both hold the area code", "PID-13", "^PRN^PH^^1^217^2175550123", "home +12175550123"),
    Row("7 also holds country and area code", "PID-13", "^PRN^PH^^1^217^12175550123", "home +12175550123"),
    Row("7 holds the full number", "PID-13", "^PRN^PH^^^217^+12175550123", "home +12175550123"),
    Row("7 holds a different area code than 6", "PID-13", "^PRN^PH^^1^217^3125550123", "", "phone_unusable", clears=False),
    *(
        Row(f"5: country {code}", "PID-13", f"^PRN^PH^^{code}^217^5550123", "home +12175550123")
        for code in ("840", "US", "USA", "1", "+1", "001", "u.s.a.")
    ),
    Row("5: another country by its numeric code", "PID-13", "^PRN^PH^^826^020^79460018", "home +442079460018"),
    *(
        Row(f"several separated by {name}", "PID-13", f"2175550123{mark}2175550124^PRN^PH", "home +12175550123, home +12175550124")
        for name, mark in (("a slash", "/"), ("a semicolon", "; "), ("a line break", "\\.br\\"))
    ),
    Row("several in 7 with one area code", "PID-13", "^PRN^PH^^1^217^5550123/5550124", "home +12175550123, home +12175550124"),
    Row("several, one of them not a number", "PID-13", "2175550123/555^PRN^PH", "home +12175550123", "phone_unusable"),
    Row("a slash within a number", "PID-13", "217/555-0123^PRN^PH", "home +12175550123"),
    Row("several addresses", "PID-13", "^NET^Internet^pat@example.org;sam@example.org", "email pat@example.org, email sam@example.org"),
    Row("an address in 7", "PID-13", "^NET^Internet^^^^pat@example.org", "email pat@example.org"),
    Row("an address in 12", "PID-13", "^PRN^PH^^^^^^^^^pat@example.org", "email pat@example.org"),
    Row(
        "an address in 12, a number in 7", "PID-13", "^PRN^PH^^^217^5550123^^^^^pat@example.org", "home +12175550123, email pat@example.org"
    ),
    Row("a number in 4", "PID-13", "^PRN^PH^2175550123", "home +12175550123"),
    Row("remark: any text", "PID-13", "2175550123^PRN^PH^^^^^^call after 5PM", "home +12175550123", "phone_remark"),
    Row("remark: beside the number", "PID-13", "2175550123 see notes^PRN^PH", "home +12175550123", "phone_remark"),
    Row("remark: a label is not a remark", "PID-13", "Cell: 2175550123 ext. 22^PRN^PH^^^^^^mobile phone", "home +12175550123"),
    Row("remark: no calls", "PID-13", "2175550123 DO NOT CALL^PRN^PH", "home +12175550123, no voice +12175550123", "phone_refused"),
    Row("remark: no texts", "PID-13", "2175550123^PRS^CP^^^^^^No texts!", "cell +12175550123, no sms +12175550123", "phone_refused"),
    Row(
        "remark: no contact",
        "PID-13",
        "2175550123^PRN^PH^^^^^^DNC",
        "home +12175550123, no voice +12175550123, no sms +12175550123",
        "phone_refused",
    ),
    Row("remark: some calls only", "PID-13", "2175550123^PRN^PH^^^^^^do not call after 9 PM", "home +12175550123", "phone_remark"),
    Row("remark: wrong number", "PID-13", "2175550123^PRN^PH^^^^^^wrong number~2175550124", "home +12175550124", "phone_wrong"),
    Row("remark: a refusal without a number", "PID-13", "do not call^PRN^PH", "", "phone_unusable phone_refused", clears=False),
    Row("no number", "PID-13", "see notes^PRN^CP", "", "phone_unusable", clears=False),
    *(
        Row(f"placeholder {number}", "PID-13", f"{number}^PRN^PH", "", "phone_placeholder", clears=False)
        for number in ("9999999999", "(555)555-5555", "0000000000", "1111111111", "1234567890", "+19999999999")
    ),
    *(
        Row(f"placeholder {address}", "PID-13", f"^NET^Internet^{address}", "", "email_placeholder", clears=False)
        for address in ("none@none.com", "NoEmail@clinic.example", "na@na.com", "test@test.com")
    ),
    Row("placeholder beside a number", "PID-13", "9999999999^PRN^PH~2175550123^PRN^PH", "home +12175550123", "phone_placeholder"),
)


def table() -> str:
    """The rows as Markdown."""
    lines = [f"| {row.rule} | {row.field} | `{row.xtn}` | {row.says or 'nothing'} | {row.reports} |" for row in TELECOMS]
    return "\n".join((BEGIN, "", "| rule | field | sent | read as | problems |", "|---|---|---|---|---|", *lines, "", END))


def page() -> str:
    """The page with the current table."""
    text = PAGE.read_text("utf-8")
    return text[: text.index(BEGIN)] + table() + text[text.index(END) + len(END) :]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
