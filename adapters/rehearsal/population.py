"""A synthetic population from a seed. Patient ``index`` at ``revision`` is computed and never stored, so memory does not grow.

Pure: the same seed gives the same people on every machine. Each revision changes one preference of a patient, in rotation:
do-not-contact, preferred method, texting, cell phone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import blake2b
from typing import NamedTuple

from adapters.rehearsal.invented import FAMILY, GIVEN, LANGUAGES, SPACE, number

FIRST_MRN = 10_001
HOUSEHOLD, EMPLOYER = 4, 20
METHODS = ("T", "P", "E", "L")
EPOCH = date(1930, 1, 1)


class InventedPhone(NamedTuple):
    """A phone in the EMR. ``kind`` is cell, home or work. ``rank`` 1 is preferred, ``None`` means no rank."""

    kind: str
    e164: str
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class InventedPerson:
    """One invented patient at one revision. ``None`` always means that the EMR has no statement."""

    index: int
    revision: int
    mrn: str
    family: str
    given: str
    gender: str
    birth_date: date
    numbers: tuple[InventedPhone, ...]
    email: str | None
    language: tuple[str, str, str] | None
    deceased_on: date | None
    restricted: bool
    do_not_contact: bool | None
    preferred_method: str | None
    texting_ok: bool | None


@dataclass(frozen=True, slots=True)
class Population:
    """A population of ``size`` patients with indexes 0 to ``size - 1``."""

    seed: int
    size: int

    def person(self, index: int, revision: int = 0) -> InventedPerson:
        """Patient ``index`` at ``revision``. ``IndexError`` if there is no such patient."""
        if not 0 <= index < self.size:
            raise IndexError("no such patient in this population")
        dice = blake2b(b"%d:%d" % (self.seed, index), digest_size=32).digest()
        changes = _change_counts(dice[0], revision)
        return InventedPerson(
            index=index,
            revision=revision,
            mrn=mrn(index),
            family=_family(self.seed, index // HOUSEHOLD),
            given=GIVEN[dice[1] % len(GIVEN)],
            gender="female" if dice[2] % 2 else "male",
            birth_date=EPOCH + timedelta(days=int.from_bytes(dice[3:5], "big") % 34_000),
            numbers=_numbers(self.seed, index, dice, changes[3]),
            email=f"{GIVEN[dice[1] % len(GIVEN)].lower()}.{index}@example.org" if dice[5] < 180 else None,
            language=_language(dice[6]),
            deceased_on=date(2020, 1, 1) + timedelta(days=dice[8]) if dice[7] < 6 else None,
            restricted=dice[9] < 5,
            do_not_contact=_flipped(_tristate(dice[10], yes=26, no=154), changes[0]),
            preferred_method=_method(dice[11], changes[1]),
            texting_ok=_flipped(_tristate(dice[12], yes=128, no=38), changes[2]),
        )

    def people(self) -> Iterator[InventedPerson]:
        """All patients at revision 0, in order."""
        return (self.person(index) for index in range(self.size))


def mrn(index: int) -> str:
    """The medical record number of a patient."""
    return f"MRN{FIRST_MRN + index}"


def index_of(mrn_value: str) -> int | None:
    """The patient with a medical record number, or ``None`` if the number is not from this population."""
    digits = mrn_value.removeprefix("MRN")
    return int(digits) - FIRST_MRN if digits != mrn_value and digits.isascii() and digits.isdigit() else None


def _change_counts(start: int, revision: int) -> tuple[int, int, int, int]:
    """The number of changes of each of the four preferences after ``revision`` changes in total."""
    first, second, third, fourth = ((start + revision - kind) // 4 - (start - kind) // 4 for kind in range(4))
    return first, second, third, fourth


def _family(seed: int, household: int) -> str:
    return FAMILY[blake2b(b"%d:household:%d" % (seed, household), digest_size=2).digest()[0] % len(FAMILY)]


def _numbers(seed: int, index: int, dice: bytes, changes: int) -> tuple[InventedPhone, ...]:
    """The phones of a patient. Even slots are cell phones; home and work numbers use the odd slots."""
    mix = dice[13]
    found = []
    if mix < 200:
        found.append(("cell", _cell(index, dice[14], changes)))
    if 160 <= mix < 240:
        found.append(("home", 4 * (index // HOUSEHOLD) + 1))
    if dice[15] < 50 and mix < 240:
        found.append(("work", 4 * (index // EMPLOYER) + 3))
    ranked = dice[16] % len(found) if found and dice[17] < 128 else None
    return tuple(InventedPhone(kind, number(slot, seed), 1 if place == ranked else None) for place, (kind, slot) in enumerate(found))


def _cell(index: int, share: int, changes: int) -> int:
    """The slot of a cell phone. One in eight patients shares that of the household's first member; a replacement has a distant slot."""
    owner = index - index % HOUSEHOLD if share < 32 else index
    return 2 * owner + 2 * changes * (SPACE // 14)


def _language(roll: int) -> tuple[str, str, str] | None:
    if roll < 26:
        return None
    return LANGUAGES[0] if roll < 190 else LANGUAGES[1 + roll % (len(LANGUAGES) - 1)]


def _tristate(roll: int, *, yes: int, no: int) -> bool | None:
    if roll < yes:
        return True
    return False if roll < yes + no else None


def _flipped(value: bool | None, times: int) -> bool | None:
    """The value after some changes: an unstated one first becomes yes, and every further change inverts it."""
    if times == 0:
        return value
    return bool(times % 2) if value is None else value ^ bool(times % 2)


def _method(roll: int, times: int) -> str | None:
    if roll >= 160 and not times:
        return None
    return METHODS[(roll + times) % len(METHODS)]
