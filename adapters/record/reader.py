"""Reads the standard parts of a JSON record: identifiers, phones, e-mail, name, birth date. ``record`` has their paths. Pure.

A record is a whole snapshot of what it contains: if any of its phone members is present, even an empty one, the phones found are the whole
list. If none is present, nothing is stated, because such APIs omit what was never set (athenahealth) or what they hide.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

from adapters.mapping import birth_date, telecom
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
from adapters.record.options import EmailPaths, PhonePaths, RecordOptions
from adapters.record.path import JsonNode, compile_nodes, text
from store.preference import EMAIL, PHONES, PREFERRED_PHONE, Phone, PhoneKind, Problem, Statement

Nodes = Callable[[Any], list[JsonNode]]


class RecordList(NamedTuple):
    """A list of phones or addresses in a record. ``by_entry``: path of each entry in use -> its number; empty if it cannot be read.

    ``unread``: an entry cannot be read, so the list is not known to be empty. ``refused``: consents that remarks beside numbers deny, and
    their paths.
    """

    present: bool
    values: tuple[Any, ...]
    by_entry: dict[str, str]
    first_listed: Statement | None = None
    unread: bool = False
    refused: tuple[tuple[str, str], ...] = ()


class RecordReader:
    """Reads the records of one source. Raises ``ValueError`` for a wrong path."""

    def __init__(self, options: RecordOptions, region: str | None, tables: ContactTables) -> None:
        self.options, self._region, self._tables = options, region, tables
        self._paths = {path: _compiled(path) for path in _paths(options)}

    @property
    def paths(self) -> frozenset[str]:
        """The top-level members that are read here."""
        return frozenset(path.partition(".")[0].partition("[")[0] for path in self._paths)

    def text(self, record: Any, path: str) -> str:
        """The first text at a path; empty if there is none, or no path."""
        return next((written for node in self._paths[path](record) if (written := text(node.value))), "") if path else ""

    def phones(self, record: dict[str, Any], problems: list[Problem]) -> RecordList:
        present, first_listed, unread = False, None, False
        found: dict[str, Phone] = {}
        by_entry: dict[str, str] = {}
        refused: list[tuple[str, str]] = []
        for paths in self.options.phones:
            present = present or _has_member(record, paths.each or paths.number)
            for entry in self._in_use(record, paths):
                phones, path, remark = self._phones(entry, paths, problems)
                first = phones[0].number if phones else ""
                if path and first_listed is None:
                    first_listed = Statement(first or None, path)
                unread = unread or bool(path and not phones and remark != WRONG_NUMBER)
                by_entry[entry.path] = first if len(phones) == 1 else ""  # a remark about several numbers may not be about each of them
                for phone in phones:
                    found.setdefault(phone.number, phone)
                    refused += [(f"{consent}#{phone.number}", path) for consent in REFUSES.get(remark, ())]
        return RecordList(present, tuple(found.values()), by_entry, first_listed, unread, tuple(refused))

    def emails(self, record: dict[str, Any], problems: list[Problem]) -> RecordList:
        present, before = False, len(problems)
        found: dict[str, None] = {}
        for paths in self.options.emails:
            present = present or _has_member(record, paths.each or paths.address)
            for entry in self._in_use(record, paths):
                for node in self._within(entry, paths.address):
                    for written in telecom.addresses(text(node.value)) if text(node.value) else ():
                        address = telecom.email(written)
                        if address is None:
                            problems.append(Problem("email_unusable", node.path, "it is not a valid e-mail address", EMAIL))
                        elif self._tables.is_placeholder(address):
                            problems.append(PLACEHOLDER_ADDRESS._replace(path=node.path))
                        else:
                            found[address] = None
        return RecordList(present, tuple(found), {}, None, len(problems) > before)

    def name(self, record: dict[str, Any]) -> Statement | None:
        """The parts of the name, in the order of the preset."""
        words = [word for path in self.options.name if (word := self.text(record, path)) not in ("", MARK)]
        return Statement(" ".join(words), self.options.name[0]) if words else None

    def birth_date(self, record: dict[str, Any], today: date, problems: list[Problem]) -> Statement | None:
        """The birth date. A date of zeros is empty, as that of MySQL is."""
        path = self.options.birth_date
        written = self.text(record, path)
        if written == MARK or not written.strip("0/"):
            return None
        found = birth_date.formatted(written, self.options.birth_date_format, today)
        if found is None:
            problems.append(birth_date.UNUSABLE._replace(path=path))
            return None
        return Statement(found, path)

    def _in_use(self, record: dict[str, Any], paths: PhonePaths | EmailPaths) -> list[JsonNode]:
        entries = self._paths[paths.each](record) if paths.each else [JsonNode(record, "")]
        return [entry for entry in entries if not (paths.unless and any(text(one.value) for one in self._within(entry, paths.unless)))]

    def _phones(self, entry: JsonNode, paths: PhonePaths, problems: list[Problem]) -> tuple[list[Phone], str, str]:
        """The numbers of an entry, their path (set even if none is usable), and what a remark beside them means."""
        node = next((one for one in self._within(entry, paths.number) if text(one.value)), None)
        if node is None:
            return [], "", ""
        written, kind = text(node.value), self._kind(entry, paths)
        remark = self._tables.remark(written) if has_words(written) else ""
        numbers = [number for raw in telecom.several(written, self._region) if (number := self._number(raw, node.path, problems))]
        if remark:
            problems += _remark_problems(remark, node.path, known=bool(numbers))
        if remark == WRONG_NUMBER:
            return [], node.path, remark
        rank, is_cell = self._rank(entry, paths), kind == PhoneKind.CELL
        return [Phone(one, kind, written, rank, is_cell or telecom.is_mobile(one)) for one in numbers], node.path, remark

    def _number(self, raw: str, path: str, problems: list[Problem]) -> str | None:
        number = telecom.e164(raw, self._region)
        if self._tables.is_placeholder(number or raw):
            problems.append(PLACEHOLDER._replace(path=path))
            return None
        if number is None:
            problems.append(Problem("phone_unusable", path, "it is not a valid phone number", PHONES))
        return number

    def _kind(self, entry: JsonNode, paths: PhonePaths) -> str:
        written = next((text(one.value) for one in self._within(entry, paths.kind_from)), "") if paths.kind_from else ""
        return str(paths.kinds.get(written.casefold(), paths.kind))

    def _rank(self, entry: JsonNode, paths: PhonePaths) -> int | None:
        written = next((text(one.value) for one in self._within(entry, paths.rank)), "") if paths.rank else ""
        return int(written) if written.isascii() and written.isdigit() and len(written) < 10 else None

    def _within(self, entry: JsonNode, path: str) -> list[JsonNode]:
        return [JsonNode(one.value, f"{entry.path}.{one.path}" if entry.path else one.path) for one in self._paths[path](entry.value)]


def state_list(stated: dict[str, Statement], attribute: str, found: RecordList, *, restricted: bool) -> None:
    """States the list, if the record has it. An empty list removes earlier values, unless the record is restricted or unreadable."""
    if found.present and (found.values or not (restricted or found.unread)):
        stated[attribute] = Statement(found.values or None, attribute)


def state_preferred_phone(stated: dict[str, Statement], found: RecordList, by: str) -> None:
    """States the preferred phone: the one listed first, or the only one with the lowest rank."""
    if by == "first":
        if found.first_listed is not None and found.first_listed.value:
            stated[PREFERRED_PHONE] = found.first_listed
        return
    ranked = [phone for phone in found.values if phone.rank is not None]
    lowest = [phone.number for phone in ranked if phone.rank == min(one.rank for one in ranked)]
    if len(lowest) == 1:
        stated[PREFERRED_PHONE] = Statement(lowest[0], PHONES)


def _remark_problems(remark: str, path: str, *, known: bool) -> list[Problem]:
    """The problems of a remark. A refusal without a usable number may be about each number."""
    if known:
        return [REMARKED.get(remark, REFUSED)._replace(path=path)]
    return [Problem("phone_refused", path, REFUSED_UNUSABLE, consent) for consent in REFUSES.get(remark, ())]


def _has_member(record: dict[str, Any], path: str) -> bool:
    """Whether the record has the member, even empty or null."""
    return path.partition(".")[0].partition("[")[0] in record


def _paths(options: RecordOptions) -> set[str]:
    places = [options.id, options.patient_id, *options.updated, options.merged_into, options.birth_date, *options.name]
    places += [path for one in options.phones for path in (one.number, one.each, one.kind_from, one.rank, one.unless)]
    places += [path for one in options.emails for path in (one.address, one.each, one.unless)]
    return {path for path in places if path}


def _compiled(path: str) -> Nodes:
    try:
        return compile_nodes(path)
    except ValueError as error:
        raise ValueError(f"record has the path {path!r}, which {error}") from error
