"""What a JSON record states by itself: who it is, phones, e-mail, name. Pure; where they stand is the preset's ``record``.

A record is a whole snapshot of what it mentions: when any of its phone members is there, an empty one too, the phones found are the
whole list. When none is there nothing is stated, since such APIs leave out what was never set (athenahealth) or what they hide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from adapters import telecom
from adapters.contact_tables import NOBODYS_ADDRESS, PLACEHOLDER, ContactTables
from adapters.legible import MARK
from adapters.rest.options import EmailPlace, PhonePlace, RecordOptions
from adapters.rest.path import Node, compile_nodes, text
from store.preference import EMAIL, PHONES, PREFERRED_PHONE, Phone, PhoneKind, Problem, Statement

Nodes = Callable[[Any], list[Node]]


class Listed(NamedTuple):
    """A list as the record has it. ``by_entry`` is the number of each entry in use, by the entry's path; empty where it cannot be read.

    ``unread``: an entry says something that cannot be read, so that the list is not known to be empty.
    """

    present: bool
    values: tuple[Any, ...]
    by_entry: dict[str, str]
    leading: Statement | None = None
    unread: bool = False


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
        present, leading, before = False, None, len(problems)
        found: dict[str, Phone] = {}
        by_entry: dict[str, str] = {}
        for place in self.options.phones:
            present = present or _is_there(record, place.each or place.number)
            for entry in self._in_use(record, place):
                phone, path = self._phone(entry, place, problems)
                if path and leading is None:
                    leading = Statement(phone.number if phone else None, path)
                by_entry[entry.path] = phone.number if phone else ""
                if phone is not None:
                    found.setdefault(phone.number, phone)
        return Listed(present, tuple(found.values()), by_entry, leading, len(problems) > before)

    def emails(self, record: dict[str, Any], problems: list[Problem]) -> Listed:
        present, before = False, len(problems)
        found: dict[str, None] = {}
        for place in self.options.emails:
            present = present or _is_there(record, place.each or place.address)
            for entry in self._in_use(record, place):
                for node in self._within(entry, place.address):
                    if said := text(node.value):
                        address = telecom.email(said)
                        if address is None:
                            problems.append(Problem("email_unusable", node.path, "it cannot be read as an e-mail address", EMAIL))
                        elif self._tables.is_placeholder(address):
                            problems.append(NOBODYS_ADDRESS._replace(path=node.path))
                        else:
                            found[address] = None
        return Listed(present, tuple(found), {}, None, len(problems) > before)

    def name(self, record: dict[str, Any]) -> Statement | None:
        """The parts of the name in the order that the preset gives them."""
        words = [word for path in self.options.name if (word := self.text(record, path)) not in ("", MARK)]
        return Statement(" ".join(words), self.options.name[0]) if words else None

    def _in_use(self, record: dict[str, Any], place: PhonePlace | EmailPlace) -> list[Node]:
        entries = self._paths[place.each](record) if place.each else [Node(record, "")]
        return [entry for entry in entries if not (place.unless and any(text(one.value) for one in self._within(entry, place.unless)))]

    def _phone(self, entry: Node, place: PhonePlace, problems: list[Problem]) -> tuple[Phone | None, str]:
        """The phone of an entry, and where a number stands, be it usable or not."""
        node = next((one for one in self._within(entry, place.number) if text(one.value)), None)
        if node is None:
            return None, ""
        raw = text(node.value)
        number = telecom.e164(raw, self._region)
        if self._tables.is_placeholder(number or raw):
            problems.append(PLACEHOLDER._replace(path=node.path))
            return None, node.path
        if number is None:
            problems.append(Problem("phone_unusable", node.path, "it cannot be read as a telephone number", PHONES))
            return None, node.path
        kind = self._kind(entry, place)
        textable = kind == PhoneKind.CELL or telecom.is_mobile(number)
        return Phone(number, kind, raw, self._rank(entry, place), textable), node.path

    def _kind(self, entry: Node, place: PhonePlace) -> str:
        said = next((text(one.value) for one in self._within(entry, place.kind_from)), "") if place.kind_from else ""
        return str(place.kinds.get(said.casefold(), place.kind))

    def _rank(self, entry: Node, place: PhonePlace) -> int | None:
        said = next((text(one.value) for one in self._within(entry, place.rank)), "") if place.rank else ""
        return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else None

    def _within(self, entry: Node, path: str) -> list[Node]:
        return [Node(one.value, f"{entry.path}.{one.path}" if entry.path else one.path) for one in self._paths[path](entry.value)]


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
