"""Normalizes telephone numbers and e-mail addresses. Pure.

Numbers become E.164. A number is accepted if it is *possible* in its numbering plan, not only if it is valid: new area codes open
faster than ``phonenumbers`` publishes metadata, and test exchanges must work. An unusable text gives ``None``, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from store.preference import Phone, PhoneKind

KINDS = {kind.value: kind for kind in PhoneKind} | {"mobile": PhoneKind.CELL, "business": PhoneKind.WORK}
NANP_CODE = 1
NANP_REGIONS = frozenset({
    "AG", "AI", "AS", "BB", "BM", "BS", "CA", "DM", "DO", "GD", "GU", "JM", "KN",
    "KY", "LC", "MP", "MS", "PR", "SX", "TC", "TT", "US", "VC", "VG", "VI",
})  # fmt: skip
"""The same regions as in ``phonenumbers`` (a test compares them), listed here so that the library is imported only when needed."""

# Separators between digits. The fast path only removes these.
_SEPARATORS = str.maketrans("", "", " ()-.")
_NANP = re.compile(r"[2-9]\d\d[2-9]\d{6}", re.ASCII)
# Letters, '#', ',' and ';' start an extension, a dialling pause or a remark. The number must be complete before them.
_REMARK = re.compile(r"[^\W\d_]+\.?|[#;,]+")
_DIGIT = re.compile(r"\d")
_NOT_DIGITS = re.compile(r"\D+")
_BETWEEN = re.compile(r"[/;\r\n]+")  # separators between several numbers in one text
_BETWEEN_ADDRESSES = re.compile(r"[/;,\s]+")
_LEAST_DIGITS = 7  # of a number that is complete without its area code
_EMAIL = re.compile(r"[^\s@,;<>\"()\[\]\\:]+@(?:[^\s@.,;<>\"()\[\]\\:]+\.)+[^\s@.,;<>\"()\[\]\\:]{2,}")
_EMAIL_LIMIT = 254  # RFC 5321 4.5.3.1.3, less the angle brackets


def e164(raw: str, region: str | None) -> str | None:
    """The number in E.164, or ``None`` when it is not usable.

    ``region`` (ISO 3166-1 alpha-2) applies to numbers without a country code. An extension or a remark after the number is
    dropped. Letters in place of digits make the number unusable.
    """
    digits = raw.translate(_SEPARATORS)
    if digits.startswith("+1"):
        national = digits[2:]
    elif region in NANP_REGIONS:
        national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    else:
        return by_library(raw, region)
    return f"+1{national}" if _NANP.fullmatch(national) else by_library(raw, region)


def is_region(region: str) -> bool:
    """Whether numbers without a country code can be read in this region. It is not known for ``UK``, which is ``GB``."""
    if region in NANP_REGIONS:
        return True
    import phonenumbers

    return region in phonenumbers.SUPPORTED_REGIONS


@lru_cache(maxsize=65536)
def by_library(raw: str, region: str | None) -> str | None:
    """:func:`e164` without its fast path for the North American Numbering Plan."""
    text = raw.strip()
    text = text[4:] if text[:4].lower() == "tel:" else text
    text = next((part for part in _REMARK.split(text) if _DIGIT.search(part)), "")
    number = _possible(text, region)
    if number is None and text.strip().startswith("00"):
        # Many EMRs write '00' for '+', even in regions with another international prefix (011 in North America, 0011 in Australia).
        number = _possible("+" + text.strip()[2:], None)
    return number


def _possible(text: str, region: str | None) -> str | None:
    import phonenumbers
    from phonenumbers import PhoneNumberFormat, ValidationResult

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return None  # including IS_POSSIBLE_LOCAL_ONLY: numbers that work only within one area
    if number.country_code == NANP_CODE and not _NANP.fullmatch(str(number.national_number)):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def several(raw: str, region: str | None) -> tuple[str, ...]:
    """The numbers in a text, as written; the text itself if it has only one. A slash may be part of a number: ``030/123456``."""
    if _BETWEEN.search(raw) is None:
        return (raw,)
    parts = tuple(part for piece in _BETWEEN.split(raw) if _DIGIT.search(part := piece.strip()))
    whole = sum(len(_NOT_DIGITS.sub("", part)) >= _LEAST_DIGITS for part in parts)
    return (raw,) if len(parts) < 2 or (whole < 2 and e164(raw, region) is not None) else parts


def repeats(raw: str, country: str, area: str) -> bool:
    """Whether a number starts with the area code, or country and area code, that is also in a separate component."""
    digits, area = _NOT_DIGITS.sub("", raw), _NOT_DIGITS.sub("", area)
    return bool(area) and digits.startswith((area, f"{country}{area}"))


def addresses(raw: str) -> tuple[str, ...]:
    """The e-mail addresses in a text, as written; the text itself if it has only one."""
    return tuple(part for part in _BETWEEN_ADDRESSES.split(raw) if part) if raw.count("@") > 1 else (raw,)


@lru_cache(maxsize=65536)
def is_mobile(number: str) -> bool:
    """Whether the numbering plan identifies this E.164 number as a mobile. The North American plan does not distinguish mobiles."""
    if number.startswith("+1"):
        return False
    import phonenumbers
    from phonenumbers import PhoneNumberType

    try:
        return bool(phonenumbers.number_type(phonenumbers.parse(number, None)) == PhoneNumberType.MOBILE)
    except phonenumbers.NumberParseException:
        return False


def email(raw: str) -> str | None:
    """The address, or ``None`` when it cannot be one: exactly one ``@``, a domain with a dot, no blanks."""
    text = raw.strip()
    if text[:7].lower() == "mailto:":
        text = text[7:].partition("?")[0].strip()
    return text if len(text) <= _EMAIL_LIMIT and _EMAIL.fullmatch(text) else None


def resolve_preferred(value: str, phones: Iterable[Phone], region: str | None = None) -> str | None:
    """The number meant by an EMR's "preferred phone", which is a kind (cell, home, work) or a number; ``None`` if neither.

    A number is matched with ``phones`` first, in E.164 or as written. A complete number that is not among them is used as it is.
    """
    kind = KINDS.get(value.strip().casefold())
    if kind is not None:
        return next((phone.number for phone in phones if phone.kind == kind), None)
    number = e164(value, region)
    digits = _NOT_DIGITS.sub("", value)
    same = (phone.number for phone in phones if phone.number == number or (digits and digits == _NOT_DIGITS.sub("", phone.raw)))
    return next(same, number)
