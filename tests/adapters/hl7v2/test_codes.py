"""Statements keep their source codes in every event, so that a corrected mapping can read them again."""

from __future__ import annotations

import pytest

from store.preference import Codes, PatientStatements
from tests.adapters.hl7v2.messages import adt, items, stated

SITE = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "?": "no_statement"}}}
MRG = "MRG|MRN10002^^^GENHOSP^MR"


def codes(*texts: str | None, silent: bool = False) -> dict[str, Codes]:
    places = ["ZCP-2"] if len(texts) == 1 else [f"ZCP-2[{number}]" for number in range(1, len(texts) + 1)]
    return {"do_not_contact": Codes("ZCP-2", tuple(zip(texts, places, strict=True)), silent)}


@pytest.mark.parametrize("event", ["A08", "A23", "A40", "A24", "A17"])
@pytest.mark.parametrize(("code", "silent"), [("DNC", False), ("OK", False), ("?", True)])
def test_codes_are_kept_in_events_about_something_else(event: str, code: str, silent: bool) -> None:
    body = adt(event, *([MRG] if event == "A40" else []), f"ZCP|1|{code}", "PD1||||||||||||Y")
    (item,) = (one for one in items(body, mapping=SITE) if isinstance(one, PatientStatements))
    assert item.codes == codes(code, silent=silent)


def test_codes_that_clear_nothing_in_such_an_event_are_not_kept() -> None:
    assert stated(adt("A23", 'ZCP|1|""'), mapping=SITE).codes == {}


@pytest.mark.parametrize(("code", "silent"), [("DNC", False), ("OK", False), ("?", True)])
def test_codes_are_kept_if_a_line_is_not_a_segment(code: str, silent: bool) -> None:
    assert stated(adt("A08", f"ZCP|1|{code}", "NTE|1||a note\rthat goes on"), mapping=SITE).codes == codes(code, silent=silent)


@pytest.mark.parametrize("line", ["ZCP|1\r|DNC", "ZCP|1|\rDNC|T"])
def test_a_refusal_in_only_one_reading_has_no_codes(line: str) -> None:
    item = stated(adt("A08", line), mapping=SITE)
    assert (item.statements["do_not_contact"].value, item.codes) == ("yes", {})
