"""Every file of the public HL7 v2 corpora through the mapper: no failure, and a reason for everything that is not used.

The corpora are outside the project. Without them the tests are skipped.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from adapters.base import Filtered, IngestResult, Item, Unmappable
from adapters.hl7v2.ack import Acknowledger
from adapters.hl7v2.files import payloads
from adapters.hl7v2.mapping import Hl7Mapper
from store.preference import PatientStatements
from tests.adapters.hl7v2.messages import RECEIVED, settings

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "hl7"
REASONS = {
    "batch_count_mismatch",
    "delimiters_invalid",
    "delimiters_missing",
    "event_missing",
    "identifier_without_authority",
    "line_not_a_segment",
    "merge_incomplete",
    "merge_with_itself",
    "message_type_missing",
    "message_type_unknown",
    "move_ambiguous",
    "not_hl7",
    "patient_id_missing",
    "patient_segment_missing",
    "too_many_merges",
    "undecodable",
}

pytestmark = [pytest.mark.corpus, pytest.mark.skipif(not CORPUS.is_dir(), reason="the public corpora are not here")]


def outcomes(mapper: Hl7Mapper) -> list[Item]:
    found: list[Item] = []
    for path in sorted(path for path in CORPUS.rglob("*.hl7") if path.is_file()):
        for payload in payloads(path):
            explained = mapper.explain(payload)
            assert explained.items, path.name
            found += explained.items
            Acknowledger().replies(payload.body, IngestResult("rejected", "not_hl7", "no"), RECEIVED)
    return found


def test_every_message_is_mapped_filtered_or_rejected_with_a_reason() -> None:
    mapper = Hl7Mapper(settings(authority="", identifier_type="", options={"charset_fallback": "8859/1", "processing": ["P", "T", "D"]}))
    found = outcomes(mapper)
    kinds = Counter(type(item).__name__ for item in found)
    assert kinds["PatientStatements"] > 250
    assert kinds["PatientMerge"] > 10
    assert {item.reason for item in found if isinstance(item, Unmappable)} <= REASONS
    assert all(item.detail for item in found if isinstance(item, Unmappable))
    assert all(item.reason for item in found if isinstance(item, Filtered))


def test_with_an_authority_configured_no_message_is_rejected_for_a_missing_one() -> None:
    found = outcomes(Hl7Mapper(settings(authority="GENHOSP", identifier_type="")))
    assert "identifier_without_authority" not in {item.reason for item in found if isinstance(item, Unmappable)}
    assert all(item.identifiers[0].authority == "GENHOSP" for item in found if isinstance(item, PatientStatements))
