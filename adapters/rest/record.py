"""What a JSON record states by itself: who it is, phones, e-mail, name. Pure; where they stand is the preset's ``record``.

A record is a whole snapshot of what it mentions: when any of its phone members is there, an empty one too, the phones found are the
whole list. When none is there nothing is stated, since such APIs leave out what was never set (athenahealth) or what they hide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from adapters.mapping import telecom
from adapters.mapping.contact_tables import (
    PLACEHOLDER,
    PLACEHOLDER_ADDRESS,
    REFUSED,
    REFUSED_UNUSABLE,
    REFUSES,
    REMARKED,
    WRONG_NUMBER,
    ContactTables,
    has_words,
)
from adapters.mapping.legible import MARK
from adapters.rest.options import EmailPlace, PhonePlace, RecordOptions
from adapters.rest.path import JsonNode, compile_nodes, text
from store.preference import EMAIL, PHONES, PREFERRED_PHONE, Phone, PhoneKind, Problem, Statement

Nodes = Callable[[Any], list[JsonNode]]


class Listed(NamedTuple):
    """A list as the record has it. ``by_entry`` is the number of each entry in use, by the entry's path; empty where it cannot be read.

    ``unread``: an entry says something that cannot be read, so that the list is not known to be empty. ``refused``: consents that remarks
    beside numbers deny, and where.
    """

    present: bool
    values: tuple[Any, ...]
    by_entry: dict[str, str]
    leading: Statement | None = None
    unread: bool = False
    refused: tuple[tuple[str, str], ...] = ()


class RecordReader:
    """Reads the records of one source. Raises ``ValueError`` for a path that is wrong."""

    def __init__(self, options: RecordOptions, region: str | None, tables: ContactTables) -> None:
        self.options, self._region, self._tables = options, region, tables
        self._paths = {path: _compiled(path) for path in _paths(options)}

    @property
    def paths(self) -> frozenset[str]:
        """The first members of everything that is read here."""
        return frozenset(path.partition(".")[0].partition("[")[0] for path in self._paths)

    def text(self, record: Any, path: str) -> str:
        """The first text at a path; empty when there is none or no path."""
        return next((said for node in self._paths[path](record) if (said := text(node.value))), "") if path else ""

    def phones(self, record: dict[str, Any], problems: list[Problem]) -> Listed:
        present, leading, unread = False, None, False
        found: dict[str, Phone] = {}
        by_entry: dict[str, str] = {}
        refused: list[tuple[str, str]] = []
        for place in self.options.phones:
            present = present or _is_there(record, place.each or place.number)
            for entry in self._in_use(record, place):
                phones, path, remark = self._phones(entry, place, problems)
                first = phones[0].number if phones else ""
                if path and leading is None:
                    leading = Statement(first or None, path)
                unread = unread or bool(path and not phones and remark != WRONG_NUMBER)
                by_entry[entry.path] = first if len(phones) == 1 else ""  # what is said of several is not known to be of each
                for phone in phones:
                    found.setdefault(phone.number, phone)
                    refused += [(f"{consent}#{phone.number}", path) for consent in REFUSES.get(remark, ())]
        return Listed(present, tuple(found.values()), by_entry, leading, unread, tuple(refused))

    def emails(self, record: dict[str, Any], problems: list[Problem]) -> Listed:
        present, before = False, len(problems)
        found: dict[str, None] = {}
        for place in self.options.emails:
            present = present or _is_there(record, place.each or place.address)
            for entry in self._in_use(record, place):
                for node in self._within(entry, place.address):
                    for said in telecom.addresses(text(node.value)) if text(node.value) else ():
                        address = telecom.email(said)
                        if address is None:
                            problems.append(Problem("email_unusable", node.path, "it is not a valid e-mail address", EMAIL))
                        elif self._tables.is_placeholder(address):
                            problems.append(PLACEHOLDER_ADDRESS._replace(path=node.path))
                        else:
                            found[address] = None
        return Listed(present, tuple(found), {}, None, len(problems) > before)

    def name(self, record: dict[str, Any]) -> Statement | None:
        """The parts of the name in the order that the preset gives them."""
        words = [word for path in self.options.name if (word := self.text(record, path)) not in ("", MARK)]
        return Statement(" ".join(words), self.options.name[0]) if words else None

    def _in_use(self, record: dict[str, Any], place: PhonePlace | EmailPlace) -> list[JsonNode]:
        entries = self._paths[place.each](record) if place.each else [JsonNode(record, "")]
        return [entry for entry in entries if not (place.unless and any(text(one.value) for one in self._within(entry, place.unless)))]

    def _phones(self, entry: JsonNode, place: PhonePlace, problems: list[Problem]) -> tuple[list[Phone], str, str]:
        """The numbers of an entry, where they stand, be they usable or not, and what a remark beside them means."""
        node = next((one for one in self._within(entry, place.number) if text(one.value)), None)
        if node is None:
            return [], "", ""
        written, kind = text(node.value), self._kind(entry, place)
        remark = self._tables.remark(written) if has_words(written) else ""
        numbers = [number for raw in telecom.several(written, self._region) if (number := self._number(raw, node.path, problems))]
        if remark:
            problems += _remarked(remark, node.path, known=bool(numbers))
        if remark == WRONG_NUMBER:
            return [], node.path, remark
        rank, is_cell = self._rank(entry, place), kind == PhoneKind.CELL
        return [Phone(one, kind, written, rank, is_cell or telecom.is_mobile(one)) for one in numbers], node.path, remark

    def _number(self, raw: str, path: str, problems: list[Problem]) -> str | None:
        number = telecom.e164(raw, self._region)
        if self._tables.is_placeholder(number or raw):
            problems.append(PLACEHOLDER._replace(path=path))
            return None
        if number is None:
            problems.append(Problem("phone_unusable", path, "it is not a valid phone number", PHONES))
        return number

    def _kind(self, entry: JsonNode, place: PhonePlace) -> str:
        said = next((text(one.value) for one in self._within(entry, place.kind_from)), "") if place.kind_from else ""
        return str(place.kinds.get(said.casefold(), place.kind))

    def _rank(self, entry: JsonNode, place: PhonePlace) -> int | None:
        said = next((text(one.value) for one in self._within(entry, place.rank)), "") if place.rank else ""
        return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else None

    def _within(self, entry: JsonNode, path: str) -> list[JsonNode]:
        return [JsonNode(one.value, f"{entry.path}.{one.path}" if entry.path else one.path) for one in self._paths[path](entry.value)]


def listed(stated: dict[str, Statement], attribute: str, found: Listed, *, restricted: bool) -> None:
    """States the list, if the record has it. An empty one takes back what was stated, but not in a record that withholds or is unread."""
    if found.present and (found.values or not (restricted or found.unread)):
        stated[attribute] = Statement(found.values or None, attribute)


def preferred(stated: dict[str, Statement], found: Listed, by: str) -> None:
    """The phone listed first, or the one of the lowest rank where one alone has it."""
    if by == "first":
        if found.leading is not None and found.leading.value:
            stated[PREFERRED_PHONE] = found.leading
        return
    ranked = [phone for phone in found.values if phone.rank is not None]
    lowest = [phone.number for phone in ranked if phone.rank == min(one.rank for one in ranked)]
    if len(lowest) == 1:
        stated[PREFERRED_PHONE] = Statement(lowest[0], PHONES)


def _remarked(remark: str, path: str, *, known: bool) -> list[Problem]:
    """The problems of a remark. What it refuses beside no usable number may be refused at each."""
    if known:
        return [REMARKED.get(remark, REFUSED)._replace(path=path)]
    return [Problem("phone_refused", path, REFUSED_UNUSABLE, consent) for consent in REFUSES.get(remark, ())]


def _is_there(record: dict[str, Any], path: str) -> bool:
    """Whether the record has the member at all, be it empty or null."""
    return path.partition(".")[0].partition("[")[0] in record


def _paths(options: RecordOptions) -> set[str]:
    places = [options.id, options.patient_id, options.updated, options.merged_into, *options.name]
    places += [path for one in options.phones for path in (one.number, one.each, one.kind_from, one.rank, one.unless)]
    places += [path for one in options.emails for path in (one.address, one.each, one.unless)]
    return {path for path in places if path}


def _compiled(path: str) -> Nodes:
    try:
        return compile_nodes(path)
    except ValueError as error:
        raise ValueError(f"record has the path {path!r}, which {error}") from error
