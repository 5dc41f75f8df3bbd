"""Values of the store as text for people. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from store import preference as p
from store.domain.attributes import Kind, entry
from store.domain.enterprise import Enterprise
from store.domain.reasons import CLIENT, NOTES, REFUSALS, SKIPS
from store.web.pages.languages import LANGUAGES

EVENTS = {"sms_consent": "SMS consent", "voice_consent": "Consent to calls", "email_consent": "Consent to e-mail"}
CHANNELS = {"sms": "text", "voice": "call", "email": "e-mail"}
BADGES = {"sms": "TEXT", "voice": "CALL", "email": "E-MAIL", "mail": "LETTER", "portal": "PORTAL", "none": "NO CONTACT"}
METHODS = {name: badge.lower() for name, badge in BADGES.items()}
VALUES = {p.GRANTED: "granted", p.DENIED: "denied", p.YES: "yes", p.NO: "no", None: "unknown", True: "yes", False: "no"}
REASONS = {**NOTES, **CLIENT, **SKIPS, **REFUSALS}
REMARKS = {**REFUSALS, **CLIENT, **NOTES, **SKIPS}
"""The same codes, of a message that was not refused as a whole: a topic is declined on one channel, what could not be read is flagged."""
ACRONYMS = frozenset({"bom", "emr", "fhir", "hl7", "id", "json", "mllp", "mrn", "msh", "pid", "sms", "url", "utf", "yaml"})
NANP_DIGITS = 12
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
INDEXING = "Some patients cannot be found by name yet, because the index is being built. Try an identifier."


def title(attribute: str) -> str:
    """The display name of an attribute, with its number or topic."""
    base, _, tail = attribute.partition("#")
    if base.startswith(p.TOPIC):
        name, _, channel = base.removeprefix(p.TOPIC).rpartition(".")
        return f"{name.replace('_', ' ').capitalize()} by {CHANNELS.get(channel, channel)}"
    named = entry(base).title or EVENTS.get(base, base.replace("_", " ").replace(".", " ").capitalize())
    return f"{named} at {number(tail)}" if tail.startswith("+") else named


def reason_title(code: str) -> str:
    """A reason code as a title: ``not_fhir`` is "Not FHIR"."""
    return sentence(" ".join(word.upper() if word in ACRONYMS else word for word in code.split("_")))


def sentence(text: str) -> str:
    """A text that begins with a capital letter, unless it begins with a name such as ``do_not_contact``."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+\b(?!\.\w)", text) else text


def value(attribute: str, stored: Any) -> str:
    """A value as text. Phones come as lists of their fields, also from the history."""
    kind = entry(attribute).kind
    if kind is Kind.PHONES:
        return ", ".join(number(_phone_number(one)) for one in stored or ()) or "none"
    if isinstance(stored, list | tuple):
        return ", ".join(map(str, stored)) or "none"
    if kind is Kind.METHOD and stored in BADGES:
        return BADGES[stored].capitalize()
    if kind is Kind.LANGUAGE and stored:
        return language(stored)
    if kind is Kind.NUMBER and stored:
        return number(stored)
    if kind is Kind.DATE and stored:
        return birth_date(stored)
    return VALUES.get(stored, str(stored).replace("_", " ")) if stored is None or isinstance(stored, str | bool) else str(stored)


def language(tag: str) -> str:
    """A language's name and tag."""
    name = LANGUAGES.get(tag.partition("-")[0].lower())
    return f"{name} ({tag})" if name else tag


def number(e164: str) -> str:
    """A North American number in groups; any other unchanged."""
    if e164.startswith("+1") and len(e164) == NANP_DIGITS:
        return f"+1 {e164[2:5]}-{e164[5:8]}-{e164[8:]}"
    return e164


def birth_date(text: str) -> str:
    """A date in words, as precisely as it is known: ``3 Feb 1980``, ``Feb 1980``, ``1980``. No country reads it differently."""
    year, *rest = text.split("-")
    words = [str(int(day)) for day in rest[1:]] + [MONTHS[int(month) - 1] for month in rest[:1]]
    return " ".join([*words, year])


def authority(name: str, enterprise: Enterprise) -> str:
    """The display name of an authority."""
    if not name.startswith(p.EMR):
        return {p.PATIENT: "the patient", p.STAFF: "staff"}.get(name, name)
    return source(name.removeprefix(p.EMR), enterprise)


def source(name: str, enterprise: Enterprise) -> str:
    """The display name of a source."""
    found = enterprise.source(name)
    return (found.display_name if found else "") or name


def day(moment: datetime, zone: ZoneInfo, now: datetime) -> str:
    """A day in a sentence, like "3 Nov"; with its year unless that is the current one."""
    local = moment.astimezone(zone)
    return f"{local.day} {local:%b}" if local.year == now.astimezone(zone).year else f"{local.day} {local:%b %Y}"


def change_in(name: str, enterprise: Enterprise) -> str:
    """How to change a value that a source masters: whom to contact, if the configuration says so."""
    found, title = enterprise.source(name), source(name, enterprise)
    if found is None or not found.contact:
        return f"To change it, update this patient in {title}."
    return f"To change it in {title}: {found.contact.rstrip('.')}."


def check_in(name: str, enterprise: Enterprise) -> str:
    """How to check a value that could not be read: where, and whom to contact, if the configuration says so."""
    found, title = enterprise.source(name), source(name, enterprise)
    return f"Check it in {title}: {found.contact.rstrip('.')}." if found is not None and found.contact else f"Check it in {title}."


def span(time: timedelta) -> str:
    """A duration as text, in the unit that fits: seconds, minutes, hours or days."""
    seconds = max(0, int(time.total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}s"
    return f"{seconds} second{'' if seconds == 1 else 's'}" if seconds else "less than a second"


def reason(code: str, *, refuses: bool = True) -> str:
    """A reason code as a sentence. ``refuses``: it refused the whole message; otherwise it is about one channel, or only a remark."""
    return (REASONS if refuses else REMARKS).get(code, code.replace("_", " "))


def _phone_number(one: Any) -> str:
    if isinstance(one, dict):
        return str(one.get("number", ""))
    return str(one[0]) if isinstance(one, list | tuple) else str(one)
