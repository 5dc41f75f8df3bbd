"""Reads name, birth date, language, death and protection of a patient from PID and PD1. Pure.

Source: HL7 v2.9 chapter 3 (PID-5, PID-7, PID-15, PID-29, PID-30, PD1-12); v2-to-FHIR for death (PID-29, else PID-30).
"""

from __future__ import annotations

from datetime import UTC, date
from functools import cache, lru_cache

from adapters.hl7v2 import timestamp
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import DELETE, Message
from adapters.mapping import birth_date, language
from adapters.mapping.tables import table
from store.preference import BIRTH_DATE, DECEASED, DISPLAY_NAME, LANGUAGE, Problem, Statement


def read_language(
    message: Message, field: str, statements: dict[str, Statement], problems: list[Problem], languages: language.Languages
) -> None:
    """Reads PID-15: its code and text, otherwise its alternate code and text."""
    if field == DELETE:
        statements[LANGUAGE] = Statement(None, "PID-15")
        return
    first = field.split(message.delimiters.repetition, 1)[0]
    try:
        parts = message.texts(first.split(message.delimiters.component))
    except UnusableMessage as error:
        problems.append(error.problem("PID-15", LANGUAGE))
        return
    parts += [""] * (6 - len(parts))
    tag = languages.coded(*parts[:3]) or languages.coded(*parts[3:6])
    if tag is not None:
        statements[LANGUAGE] = Statement(tag, "PID-15")
    elif not any(language.is_declined(part) for part in (*parts[:2], *parts[3:5]) if part) and any(parts):
        detail = "unknown language code or name: add it to 'languages' of the source"
        problems.append(Problem("language_unusable", "PID-15", detail, LANGUAGE))


def read_death(message: Message, when: str, indicator: str, statements: dict[str, Statement], problems: list[Problem]) -> None:
    """Reads PID-29 (date of death), otherwise PID-30 (:func:`read_flag`). A date of zeros is empty: some EMRs write it so.

    If one patient has several PID segments, one that states death is enough. An unreadable segment does not mean "not deceased".
    """
    earlier = statements.pop(DECEASED, None)
    _read_death(message, when, indicator, statements, problems)
    if earlier is not None and (earlier.value or DECEASED not in statements):
        statements[DECEASED] = earlier
    if problems and DECEASED in statements and not statements[DECEASED].value and any(one.attribute == DECEASED for one in problems):
        del statements[DECEASED]


def _read_death(message: Message, when: str, indicator: str, statements: dict[str, Statement], problems: list[Problem]) -> None:
    dated = when != DELETE and when.strip("0 ")
    if dated and when[:4].isdecimal():
        statements[DECEASED] = Statement(True, "PID-29")
    elif indicator:
        read_flag(message, DECEASED, indicator, "PID-30", statements, problems)
    elif when == DELETE:
        statements[DECEASED] = Statement(None, "PID-29")
    elif dated:
        problems.append(Problem("death_unusable", "PID-29", "this is not a date of death", DECEASED))


def read_flag(message: Message, attribute: str, field: str, path: str, statements: dict[str, Statement], problems: list[Problem]) -> None:
    """Reads a yes or no, alone or as the code of a CWE. The spellings are in ``adapters/mapping/tables/yes_no.yaml``.

    If several answers differ, yes counts, because it protects.
    """
    if field == DELETE:
        statements[attribute] = Statement(None, path)
        return
    answer, is_readable = _answers(field, message.delimiters.component, message.delimiters.repetition)
    if not is_readable:
        problems.append(Problem("flag_unusable", path, _words(), attribute))
    if answer is not None:
        statements[attribute] = Statement(answer, path)


@cache
def _words() -> str:
    """The words that :func:`read_flag` knows, for whoever sent another one."""
    known = "; ".join(f"{answer}: {', '.join(spelled)}" for answer, spelled in table("yes_no").items())
    return f"this is not a word for yes, no or unknown ({known})"


@lru_cache(maxsize=1024)
def _answers(field: str, component: str, repetition: str) -> tuple[bool | None, bool]:
    """The answer of the repetitions together, ``None`` if there is none; and whether all of them are in the table."""
    answers = {_answer(part, component) for part in field.split(repetition) if part}
    is_readable = "" not in answers
    return True if "yes" in answers else False if "no" in answers and is_readable else None, is_readable


def _answer(text: str, component: str) -> str:
    """yes, no or unknown, from the code, otherwise from its text; empty if the table contains neither."""
    words = [word for part in text.split(component)[:2] if (word := part.strip().upper()) and word != DELETE]
    known = (answer for word in words for answer, spelled in table("yes_no").items() if word in spelled)
    return next(known, "") if words else "unknown"


def read_name(message: Message, field: str, statements: dict[str, Statement], problems: list[Problem]) -> None:
    """Reads the legal name (XPN.7 = L), otherwise the first name."""
    if field == DELETE:
        statements[DISPLAY_NAME] = Statement(None, "PID-5")
        return
    component, subcomponent = message.delimiters.component, message.delimiters.subcomponent
    parts, *others = [one.split(component) for one in field.split(message.delimiters.repetition)]
    if others:
        parts = next((one for one in (parts, *others) if len(one) > 6 and one[6] == "L"), parts)
    words = (*parts[1:3], parts[0].split(subcomponent, 1)[0], *parts[3:4])
    try:
        text = " ".join(message.texts([word for word in words if word and word != DELETE]))
    except UnusableMessage as error:
        problems.append(error.problem("PID-5", DISPLAY_NAME))
        return
    if text:
        statements[DISPLAY_NAME] = Statement(text, "PID-5")


def read_birth_date(message: Message, field: str, today: date, statements: dict[str, Statement], problems: list[Problem]) -> None:
    """Reads PID-7, as precisely as it is written. A date of zeros is empty: some EMRs write it so."""
    if field == DELETE:
        statements[BIRTH_DATE] = Statement(None, "PID-7")
        return
    text = field
    if not _is_day(field):
        first = field.split(message.delimiters.repetition, 1)[0].split(message.delimiters.component, 1)[0]
        try:
            text = message.unescape(first).strip()
        except UnusableMessage as error:
            problems.append(error.problem("PID-7", BIRTH_DATE))
            return
    if not text.strip("0-"):
        return
    found = _birth_date(text, today)
    if found is None:
        problems.append(birth_date.UNUSABLE._replace(path="PID-7"))
    else:
        statements[BIRTH_DATE] = Statement(found, "PID-7")


def _is_day(text: str) -> bool:
    """Whether it has the usual form, YYYYMMDD."""
    return len(text) == 8 and text.isdigit() and text.isascii()


def _birth_date(text: str, today: date) -> str | None:
    if not _is_day(text):
        return birth_date.written(timestamp.time(text, UTC), timestamp.offset(text) or UTC, today)
    try:
        return birth_date.on(date.fromisoformat(text), today)  # twenty times as fast
    except ValueError:
        return None
