"""Maps the payloads of a set to statements: records as any JSON record, and rows that were set aside to their rejection. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

from adapters.base import Explanation, Filtered, Item, Payload, SourceSettings, Unmappable
from adapters.files.options import EXTRACT, UNCERTAIN, record_settings
from adapters.files.records import REPEATED
from adapters.record.mapping import JsonMapper
from adapters.record.path import compile_path
from store.preference import Codes, PatientStatements, Problem, Statement, refusal, refuses


class DelimitedMapper:
    """The mapping of one source. Raises ``ValueError`` if its rules or options are wrong."""

    def __init__(self, settings: SourceSettings) -> None:
        options = record_settings(settings)
        self._records = JsonMapper(replace(settings, options=options), partial(compile_path, null_deletes=True))
        self.mapping = self._records.mapping

    def read(self, payload: Payload) -> list[Item]:
        """The items of one record. A row that was set aside is its rejection, one that came twice is filtered."""
        if payload.refused is not None:
            reason, detail = payload.refused
            return [Filtered(reason, payload.locator) if reason == REPEATED else Unmappable(reason, detail, payload.locator, payload.body)]
        items = self._records.read(_undated(payload))
        return [_without_permissions(item) for item in items] if _is_uncertain(payload.body) else items

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        """What the current rules read in codes that were stored before (``store.domain.source_codes``)."""
        return self._records.reread(attribute, codes)

    def explain(self, payload: Payload) -> Explanation:
        """What one record states, and what in it is not read."""
        items = self.read(payload)
        if payload.refused is not None:
            return Explanation(items)
        found = self._records.explain(_undated(payload))
        left = {(name, one.path) for item in items if isinstance(item, PatientStatements) for name, one in item.statements.items()}
        return replace(found, items=items, stated=[one for one in found.stated if (one[0], one[2]) in left])


def _undated(payload: Payload) -> Payload:
    """The payload as one from a file: a record without a time may have been stated at any time until then, also when it is replayed."""
    return payload if payload.written is not None else payload._replace(written=payload.received)


def _is_uncertain(body: bytes) -> bool:
    try:
        record: Any = json.loads(body) if f'"{UNCERTAIN}"'.encode() in body else None
    except ValueError:
        return False
    known = record.get(EXTRACT) if isinstance(record, dict) else None
    return isinstance(known, dict) and known.get(UNCERTAIN) is True


def _without_permissions(item: Item) -> Item:
    """What the record refuses, and what has nothing to do with refusals. A lost row may have refused the rest."""
    if not isinstance(item, PatientStatements):
        return item
    kept = {name: one for name, one in item.statements.items() if refusal(name) is None or refuses(name, one.value)}
    return replace(item, statements=kept, codes={name: codes for name, codes in item.codes.items() if name in kept})
