"""ADT messages of an invented patient, as an interface engine would send them. Pure.

The version is 2.7, because XTN.18 (preference order) exists since 2.6 and PRS (personal number) in XTN.2 since 2.7. An unknown preference
is an unvalued field, which states nothing in HL7 v2.
"""

from __future__ import annotations

from datetime import UTC, datetime

from adapters.rehearsal.chart import ChartEntry
from adapters.rehearsal.dialect import AUTHORITY
from adapters.rehearsal.population import InventedPerson, InventedPhone

EVENTS = {"A01": "ADT_A01", "A04": "ADT_A01", "A08": "ADT_A01", "A28": "ADT_A05", "A31": "ADT_A05"}
USES = {"cell": "PRS^CP", "home": "PRN^PH", "work": "WPN^PH"}
TEXTING = {True: "02^Reminder/recall - any method^HL70215", False: "01^No reminder/recall^HL70215", None: ""}
DO_NOT_CONTACT = {True: "DNC", False: "OK", None: ""}
ESCAPES = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "~": "\\R\\", "&": "\\T\\"})


def message(entry: ChartEntry, event: str = "A08") -> bytes:
    """An ADT message with all data of a patient."""
    person = entry.person
    control = f"RH{person.index:08d}{person.revision:04d}{event}"
    segments = [*_head(event, control, entry.updated), _pid(person, entry.updated), _pd1(person)]
    if EVENTS[event] == "ADT_A01":
        segments += [_nk1(person), _pv1(person), _gt1(person), _in1(person)]
    return _joined([*segments, _zcp(person)])


def timestamp(time: datetime) -> str:
    """An HL7 timestamp with milliseconds, in UTC with its offset."""
    utc = time.astimezone(UTC)
    return utc.strftime("%Y%m%d%H%M%S.") + f"{utc.microsecond // 1000:03d}+0000"


def _head(event: str, control: str, at: datetime) -> list[str]:
    time = timestamp(at)
    return [
        rf"MSH|^~\&|REHEARSAL|{AUTHORITY}|EMRSYNC|EMRSYNC|{time}||ADT^{event}^{EVENTS[event]}|{control}|P|2.7||||||UNICODE UTF-8",
        f"EVN|{event}|{time}|||REH01^Registrar^Imogen|{time}",
    ]


def _pid(person: InventedPerson, updated: datetime) -> str:
    language = f"{person.language[1]}^{person.language[2]}^ISO639" if person.language else ""
    fields = {
        1: "1",
        3: _identifier(person.mrn),
        5: _name(person),
        7: person.birth_date.strftime("%Y%m%d"),
        8: person.gender[0].upper(),
        11: _address(person),
        13: "" if person.restricted else _private(person),
        14: "" if person.restricted else "~".join(_xtn(one) for one in person.numbers if one.kind == "work"),
        15: language,
        18: f"ACC{person.index:08d}^^^{AUTHORITY}^AN",
        29: person.deceased_on.strftime("%Y%m%d") if person.deceased_on else "",
        30: "Y" if person.deceased_on else "N",
        33: timestamp(updated),
        34: AUTHORITY,
    }
    return _segment("PID", fields)


def _pd1(person: InventedPerson) -> str:
    return _segment("PD1", {11: TEXTING[person.texting_ok], 12: "Y" if person.restricted else "N"})


def _nk1(person: InventedPerson) -> str:
    """A next of kin, whose number must never be used as the patient's own."""
    return f"NK1|1|{_escaped(person.family)}^Kin|SPO^Spouse^HL70063||^PRN^PH^^1^999^5550199"


def _pv1(person: InventedPerson) -> str:
    return f"PV1|1|O|CLINIC^{1 + person.index % 40}^1^{AUTHORITY}||||REH{person.index % 300:04d}^Attending^Invented^^^Dr|||MED"


def _gt1(person: InventedPerson) -> str:
    return _segment("GT1", {1: "1", 3: _name(person), 5: _address(person), 11: "SEL^Self^HL70063"})


def _in1(person: InventedPerson) -> str:
    fields = {
        1: "1",
        2: f"PLAN{person.index % 9}^Invented Health Plan",
        3: f"PAYER{person.index % 9}",
        4: "Placeholder Mutual",
        5: "1 Claims Court^^Samplefield^IL^62702^US",
        16: _name(person),
        17: "SEL^Self^HL70063",
        36: f"POL{person.index:09d}",
    }
    return _segment("IN1", fields)


def _zcp(person: InventedPerson) -> str:
    return f"ZCP|1|{DO_NOT_CONTACT[person.do_not_contact]}|{person.preferred_method or ''}"


def _private(person: InventedPerson) -> str:
    """PID-13. Its first repetition is the primary (home) number; it is empty if there is none (HL7 v2.9 chapter 3, PID-13)."""
    home = [one for one in person.numbers if one.kind == "home"]
    cell = [one for one in person.numbers if one.kind == "cell"]
    email = [f"^NET^Internet^{_escaped(person.email)}"] if person.email else []
    rest = [_xtn(one) for one in cell] + email
    first = [_xtn(one) for one in home] or ([""] if rest else [])
    return "~".join(first + rest)


def _xtn(one: InventedPhone) -> str:
    written = f"^{USES[one.kind]}^^1^{one.e164[2:5]}^{one.e164[5:]}"
    return f"{written}{'^' * 11}{one.rank}" if one.rank else written


def _identifier(mrn: str) -> str:
    return f"{mrn}^^^{AUTHORITY}^MR"


def _name(person: InventedPerson) -> str:
    return f"{_escaped(person.family)}^{_escaped(person.given)}^^^^^L"


def _address(person: InventedPerson) -> str:
    return f"{1 + person.index % 900} Rehearsal Way^^Samplefield^IL^62701^US^H"


def _escaped(text: str) -> str:
    return text.translate(ESCAPES)


def _segment(name: str, fields: dict[int, str]) -> str:
    return f"{name}|" + "|".join(fields.get(number, "") for number in range(1, max(fields) + 1))


def _joined(segments: list[str]) -> bytes:
    return ("\r".join(segments) + "\r").encode()
