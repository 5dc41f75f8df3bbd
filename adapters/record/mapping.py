"""Maps a patient's record in JSON to statements. Pure.

The preset's ``record`` has the paths of its parts, and ``mapping`` the meaning of its codes. Nothing here depends on an EMR.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from adapters.base import Explanation, Item, Payload, SourceSettings, Unmappable
from adapters.mapping import iso_time, partial
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.identifiers import is_placeholder
from adapters.mapping.language import Languages
from adapters.mapping.legible import MARK, is_marked, repaired
from adapters.mapping.rules import EACH, CompilePath, MappingError, Read, Rule, compile_rule, expanded, fingerprint, standard
from adapters.mapping.texts import with_texts
from adapters.record import explain
from adapters.record.options import record_options
from adapters.record.path import compile_path
from adapters.record.reader import RecordReader, state_list, state_preferred_phone
from store import times
from store.preference import (
    BIRTH_DATE,
    DENIED,
    DISPLAY_NAME,
    EMAIL,
    LISTS,
    PHONES,
    PREFERRED_PHONE,
    RESTRICTED,
    Codes,
    Identifier,
    PatientMerge,
    PatientStatements,
    Problem,
    Statement,
    base,
)
from store.times import Time

RECORD_ID = "RI"  # the record's own id is an identifier of its source, as a FHIR resource id is
NOT_JSON = "it is not valid JSON in UTF-8"
EMPTY = ("", MARK)
NOT_MERGED = (*EMPTY, "0")
"""What ``merged_into`` contains if nothing was merged: some clients turn JSON's null into 0 (Elation)."""

Stated = dict[str, Statement]


class UnusableRecord(Exception):
    """Raised for a payload that must be rejected."""

    def __init__(self, reason: str, detail: str, path: str = "") -> None:
        self.reason, self.detail, self.path = reason, detail, path
        super().__init__(reason)


class JsonMapper:
    """The mapping of one source. Raises ``ValueError`` if its rules or options are wrong.

    ``compile``: how the paths of rules are read.
    """

    def __init__(self, settings: SourceSettings, compile: CompilePath = compile_path) -> None:
        self.settings = settings
        self.options = record_options(settings)
        self.reader = RecordReader(self.options, settings.default_region, ContactTables(settings.contact))
        self._languages = Languages(settings.languages)
        self.rules = tuple(
            _rule(attribute, rule, compile) for attribute, rule in expanded(settings.mapping).items() if not standard(attribute, rule)
        )
        choice = settings.mapping.get(PREFERRED_PHONE) or {}
        self._preferred_by = str(choice["by"]) if standard(PREFERRED_PHONE, choice) else "rank"
        self._elements = dict.fromkeys(self.options.name, DISPLAY_NAME)
        self._elements |= {self.options.birth_date: BIRTH_DATE} if self.options.birth_date else {}
        self._elements |= {place.each or place.number: PHONES for place in self.options.phones}
        self._elements |= {place.each or place.address: EMAIL for place in self.options.emails}
        self._zone, self.mapping = ZoneInfo(settings.time_zone), fingerprint(settings.mapping, *settings.codes)

    def read(self, payload: Payload) -> list[Item]:
        """The items of one record. Bad input becomes :class:`~adapters.base.Unmappable`."""
        try:
            return self._record(*_decoded(payload.body), payload)
        except UnusableRecord as error:
            return [Unmappable(error.reason, error.detail, payload.locator, payload.body, error.path)]

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        """What the current rules read in codes that were stored before (``store.domain.source_codes``)."""
        return partial.read_again(self.rules, attribute, codes)

    def explain(self, payload: Payload) -> Explanation:
        """What one record states, and what in it is not read."""
        items = self.read(payload)
        try:
            record, _ = _decoded(payload.body)
        except UnusableRecord:
            return Explanation(items)
        return explain.explain(record, items, self.rules, self.reader.paths)

    def _record(self, record: dict[str, Any], flaw: UnusableRecord | None, payload: Payload) -> list[Item]:
        identifiers = self._identifiers(record, flaw)
        problems: list[Problem] = []
        codes: Read = {}
        ruled = self._ruled(record, problems, codes)
        if flaw is not None:
            partial.leave_out_illegible(ruled, self.rules, record, "", self._elements, problems)
        withheld = (RESTRICTED in ruled and ruled[RESTRICTED].value is True) or any(one.attribute == RESTRICTED for one in problems)
        if withheld:  # what is missing in a restricted record was withheld: it removes nothing
            ruled = {name: one for name, one in ruled.items() if one.value is not None}
        stated, by_entry, refused = self._standard(record, payload.received.date(), problems, restricted=withheld)
        stated |= self._per_number(record, by_entry, problems, codes, restricted=withheld)
        phones = stated[PHONES].value or () if PHONES in stated else ()
        stated |= with_texts(ruled, phones, self.settings.default_region, self._languages, problems)
        stated |= {name: Statement(DENIED, path) for name, path in refused}
        effective = self._effective(record, payload, problems)
        evidence = f"Patient/{self.reader.text(record, self.options.id)}"
        item = PatientStatements(
            identifiers, stated, effective, evidence, 0, withheld, tuple(problems), payload.locator, codes, self.mapping
        )
        return [item, *self._merged(record, item)]

    def _identifiers(self, record: dict[str, Any], flaw: UnusableRecord | None) -> tuple[Identifier, ...]:
        """The identifier that the source's ``patient_id`` selects, and the record's own id."""
        own = self.reader.text(record, self.options.id)
        if own in EMPTY:
            if flaw is not None:
                raise flaw
            raise UnusableRecord("patient_id_missing", f"the record has no id at {self.options.id}", self.options.id)
        authority, kind = self.settings.own_authority, next(iter(self.settings.identifier_types), "")
        known_by = self.reader.text(record, self.options.patient_id)
        record_id = Identifier(self.settings.name, RECORD_ID, own)
        if not authority or known_by in EMPTY or is_placeholder(known_by, self.settings.placeholders):
            return (record_id,)
        return (Identifier(authority, kind, known_by), record_id)

    def _ruled(self, record: dict[str, Any], problems: list[Problem], codes: Read) -> Stated:
        """The statements of the rules that are not applied to each number."""
        whole = [rule for rule in self.rules if not rule.attribute.endswith(EACH)]
        return {rule.attribute: one for rule in whole if (one := partial.apply_rule(rule, record, problems, codes)) is not None}

    def _per_number(
        self, record: dict[str, Any], by_entry: Mapping[str, str], problems: list[Problem], codes: Read, *, restricted: bool
    ) -> Stated:
        """Consents in the entries of a list of phones, by the entry's number."""
        stated: Stated = {}
        for rule in self.rules:
            if rule.attribute.endswith(EACH):
                stated |= partial.apply_per_number(rule, record, _numbers(by_entry), problems, codes)
        return {name: one for name, one in stated.items() if one.value is not None or not restricted}

    def _standard(
        self, record: dict[str, Any], today: date, problems: list[Problem], *, restricted: bool
    ) -> tuple[Stated, dict[str, str], tuple[tuple[str, str], ...]]:
        stated: Stated = {}
        phones = self.reader.phones(record, problems)
        state_list(stated, PHONES, phones, restricted=restricted)
        state_list(stated, EMAIL, self.reader.emails(record, problems), restricted=restricted)
        state_preferred_phone(stated, phones, self._preferred_by)
        name = self.reader.name(record) if self.settings.keep_names else None
        if name is not None:
            stated[DISPLAY_NAME] = name
        born = self.reader.birth_date(record, today, problems) if self.settings.keep_birth_dates else None
        if born is not None:
            stated[BIRTH_DATE] = born
        return stated, phones.by_entry, phones.refused

    def _effective(self, record: dict[str, Any], payload: Payload, problems: list[Problem]) -> Time:
        """When the record last changed, as it states; else when it was read."""
        path = next((one for one in self.options.updated if self.reader.text(record, one)), "")
        if not path:
            return payload.stated
        text = self.reader.text(record, path)
        effective = iso_time.read(text, self._zone)
        if effective is None:
            problems.append(Problem("time_unreadable", path, "it is not a date and time; only refusals apply"))
            return times.unknown(payload.undated)
        if times.is_ahead(effective, payload.received):
            problems.append(Problem("time_in_future", path, "the server's clock or ours is wrong; only refusals apply"))
        return effective

    def _merged(self, record: dict[str, Any], item: PatientStatements) -> list[Item]:
        survivor = self.reader.text(record, self.options.merged_into)
        if survivor in NOT_MERGED:
            return []
        into = (Identifier(self.settings.name, RECORD_ID, survivor),)
        return [PatientMerge(into, item.identifiers, item.effective, item.evidence_id, item.locator)]


def _rule(attribute: str, rule: Mapping[str, Any], compile: CompilePath) -> Rule:
    if base(attribute) in LISTS:
        raise MappingError(attribute, "is read from the paths in 'record' and needs no rule")
    return compile_rule(attribute, rule, compile)


def _numbers(by_entry: Mapping[str, str]) -> Callable[[str], str | None]:
    """A function from a path to the number of its entry; empty if the number cannot be read."""
    return lambda path: next((number for entry, number in by_entry.items() if entry and path.startswith(f"{entry}.")), None)


def _decoded(body: bytes) -> tuple[dict[str, Any], UnusableRecord | None]:
    """The record, and the reason if it is legible only in part. Raises :class:`UnusableRecord`."""
    try:
        return _strict(body), UnusableRecord("not_json", NOT_JSON) if is_marked(body) else None
    except UnusableRecord as error:
        if error.reason == "not_a_record":
            raise
        try:
            return _strict(repaired(body)), error
        except (ValueError, UnusableRecord):
            raise error from None


def _strict(body: bytes) -> dict[str, Any]:
    try:
        record = json.loads(body)
        # Lone surrogates and NUL are legal JSON, but no database stores them.
        json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise UnusableRecord("not_json", NOT_JSON) from None
    if type(record) is not dict:
        raise UnusableRecord("not_a_record", "it is JSON but not a record: a JSON object is expected")
    if b"\\u0000" in body:
        raise UnusableRecord("nul_character", "it contains U+0000, which is not allowed")
    return record
