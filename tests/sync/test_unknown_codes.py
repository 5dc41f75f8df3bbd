"""``map``: lines for the codes in samples that a source does not know. No meaning is guessed, and nothing about a person is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sync.config import load
from tests.sync.clinic import CONFIG, adt
from tests.sync.conftest import EmrSync

Proposed = Callable[..., list[str]]
HL7 = f"database: sqlite:///x.db\n{CONFIG}"
FHIR = """\
database: sqlite:///x.db
enterprises: {clinic: {default_region: US}}
sources:
  ehr:
    enterprise: clinic
    adapter: fhir.rest
    base_url: https://ehr.example/r4
    schedule: {every: 1h}
    patient_id: {authority: "urn:x", type: MR}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose database is never opened."""
    file = tmp_path / "config.yaml"
    file.write_text(HL7)
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    return file


@pytest.fixture
def proposed(emr_sync: EmrSync, config: Path, tmp_path: Path) -> Proposed:
    """The lines for messages, without what precedes them."""

    def run(messages: Sequence[str], *options: str) -> list[str]:
        (tmp_path / "samples.hl7").write_text("".join(messages), newline="")
        ended = emr_sync("map", "adt", tmp_path / "samples.hl7", *options)
        assert (ended.code, ended.err) == (0, "")
        return ended.out.splitlines()[1:]

    return run


def patients(*codes: str, segment: str = "ZCP|1|{}\r") -> list[str]:
    """A message of another patient for each code, which is in the segment."""
    return [adt(f"MRN{n}", control=f"C{n}").replace("ZCP|1|DNC\r", segment.format(code)) for n, code in enumerate(codes)]


def decisions(lines: Sequence[str]) -> list[str]:
    return [line.strip().removeprefix("# decide: ") for line in lines if line.strip().startswith("# decide: ")]


def test_a_code_that_no_table_has_is_left_to_a_person(proposed: Proposed) -> None:
    lines = proposed(patients("DNC", "OK", *["HOLD"] * 4))
    rule = lines[lines.index("      do_not_contact:") :]
    assert rule[:6] == [
        "      do_not_contact:",
        "        from: ZCP-2",
        "        values:",
        "          DNC: yes",
        "          OK: no",
        "          # decide: HOLD: …    # 4 patients; yes | no | unknown | no_statement",
    ]


def test_the_lines_can_be_pasted_and_change_nothing_until_a_person_decides(proposed: Proposed, emr_sync: EmrSync, config: Path) -> None:
    lines = proposed(patients(*["HOLD"] * 3, segment="ZCP|1|{}|T^text\r") + patients(*["A: #"] * 3, segment="ZCQ|1|Y|-\r"))
    before = load(config).feeds["adt"].settings
    head = config.read_text().partition("    mapping:")[0]
    config.write_text(head + "\n".join(lines) + "\n      consent.sms: {from: PD1-11.1, values: {02: granted, 01: denied}}\n")
    assert emr_sync("check-config").code == 0
    assert load(config).feeds["adt"].settings == before
    config.write_text(config.read_text().replace("# decide: HOLD", "HOLD"))
    assert "cannot be '…': use one of yes" in emr_sync("check-config").out
    config.write_text(config.read_text().replace("HOLD: …", "HOLD: yes"))
    assert emr_sync("check-config").code == 0


def test_fields_of_the_sites_own_segments_are_listed_with_their_codes(proposed: Proposed) -> None:
    lines = proposed(patients("T", "T", "P", segment="ZCP|1|OK|{}\rZIN|1|always|free text here\r"))
    assert decisions(lines) == [
        "ATTRIBUTE: {from: ZCP-3, values: {T: …, P: …}}    # T 2, P 1 patients",
        "ATTRIBUTE: {from: ZIN-2, values: {always: …}}    # always 3 patients",
    ]
    assert "#   ZIN-3: 1 value" in lines


def test_languages_and_codes_of_contacts_are_listed_with_what_is_configured(proposed: Proposed, config: Path) -> None:
    config.write_text(config.read_text() + "    languages: {KAR: kar}\n    contact: {use: {SHOP: work}}\n")
    odd = [one.replace("^PRN^CP^", "^LOCAL^BRICK^").replace("||en\r", "||KRN\r") for one in patients(*["OK"] * 3)]
    assert decisions(proposed(odd)) == [
        "languages: {KAR: kar, KRN: …}    # KRN 3 patients; BCP-47 tags, like so or zh-Hant",
        "contact: {use: {SHOP: work, LOCAL: …}}    # LOCAL 3 patients; cell | home | other | work | phone | email | none",
        "contact: {use: {SHOP: work}, equipment: {BRICK: …}}    # BRICK 3 patients; cell | home | other | work | phone | email | none",
    ]


def test_a_wrong_authority_shows_those_that_were_sent(proposed: Proposed, config: Path) -> None:
    config.write_text(config.read_text().replace("authority: CLINIC", "authority: CLINC"))
    lines = decisions(proposed(patients(*["OK"] * 3)))
    assert lines[-1].startswith("patient_id: {authority: CLINIC, type: MR}    # CLINIC|MR 3 records")


@pytest.mark.parametrize(
    "values",
    [
        ["Invented"] * 6,  # the family name of PID-5
        ["MRN1", "MRN2", "MRN3", "MRN4", "MRN5", "MRN6"],
        ["2175550123"] * 6,  # a number is never a code
        ["217-555-0123 home"] * 6,
        ["pat@example.org"] * 6,
        ["19800101"] * 6,
        ["Ann", "Lee", "Kim", "Jo Ann", "Maria", "Omar"],  # names: each of one patient
        ["Oak Street"] * 6,
    ],
)
def test_nothing_about_a_person_is_shown(proposed: Proposed, values: list[str]) -> None:
    lines = proposed(patients(*values, segment="ZCP|1|OK|{}\r"))
    assert not [line for line in lines for value in values if value.casefold() in line.casefold()]
    assert any(line.startswith("#   ZCP-3: ") for line in lines)


@pytest.mark.parametrize("segment", ["ZCP|1|{}\r", "ZCP|1|OK|{}\r", "ZCP|1|OK\rPD1|||||||||||{}\r"])
def test_a_name_is_not_shown_wherever_it_is_written(proposed: Proposed, segment: str) -> None:
    assert not [line for line in proposed(patients(*["INVENTED"] * 5, segment=segment)) if "INVENTED" in line]


def test_many_values_are_no_codes_although_some_are_frequent(proposed: Proposed) -> None:
    names = [f"Name{chr(65 + number % 13)}" for number in range(26)]
    assert not [line for line in proposed(patients(*names, *["NameZ"] * 4, segment="ZNM|1|{}\r")) if "Name" in line]


def test_messages_of_one_patient_show_no_more_than_one_message(proposed: Proposed) -> None:
    repeated = [adt("MRN1", dnc="Waiting", control=f"C{number}") for number in range(9)]
    assert "Waiting" not in "".join(proposed(repeated))
    assert "Waiting" in "".join(proposed(repeated, "--least", "1"))


def test_a_short_code_of_one_patient_is_shown(proposed: Proposed) -> None:
    assert "T: …" in "".join(proposed(patients("T", segment="ZCP|1|OK|{}\r")))


def test_where_every_code_is_known_it_says_so(proposed: Proposed) -> None:
    known = [one.replace("|||||||||||02", "") for one in patients("OK", "DNC")]
    assert proposed(known) == ["# Every code is known."]


def test_what_is_not_a_message_is_counted_and_not_shown(proposed: Proposed) -> None:
    assert proposed(["Pat Example, 217-555-0123\n"]) == ["# 1 record rejected; emr-sync explain adt FILE shows why"]
    assert proposed([]) == []


@pytest.mark.parametrize(
    "segment", ["Z\u00c41|1|X\r", "ZCP|1|\x07|\x1b[2J\r", "ZCP||~~X^^\r", "Z1|1|X\r", "ZCP|1|OK|{x: y}\rZCP|2|OK|# no\r"]
)
def test_odd_segments_and_codes_are_no_error_and_stay_in_their_lines(proposed: Proposed, segment: str) -> None:
    lines = proposed(patients("", "", "", segment=segment.replace("{", "{{").replace("}", "}}")))
    assert [line for line in lines if not line.isprintable()] == []


def test_fhir_proposes_extensions_categories_and_flags_with_their_paths(emr_sync: EmrSync, tmp_path: Path) -> None:
    resources = []
    for n in range(3):
        known = {"identifier": [{"system": "urn:x", "value": str(n)}]}
        language = {"coding": [{"system": "https://ehr.example/languages", "code": "KRN"}]}
        extensions = [
            {"url": "https://ehr.example/texts", "valueBoolean": True},
            {"url": "https://ehr.example/note", "valueString": "Smith"},
        ]
        resources.append(
            {"resourceType": "Patient", "id": f"p{n}", **known, "communication": [{"language": language}], "extension": extensions}
        )
        category = [{"coding": [{"system": "https://ehr.example/c", "code": "TEXTS"}]}]
        resources.append({"resourceType": "Consent", "id": f"c{n}", "status": "active", "category": category})
        resources.append({"resourceType": "Flag", "id": f"f{n}", "code": {"coding": [{"code": "NOCALL"}]}})
    (tmp_path / "samples.ndjson").write_text("\n".join(map(json.dumps, resources)))
    (tmp_path / "fhir.yaml").write_text(FHIR)
    shown = emr_sync("-c", tmp_path / "fhir.yaml", "map", "ehr", tmp_path / "samples.ndjson")
    assert [line.partition("    #")[0] for line in decisions(shown.out.splitlines())] == [
        "ATTRIBUTE: {from: \"Patient.extension('https://ehr.example/texts').valueBoolean\", values: {true: …}}",
        "languages: {KRN: …}",
        'consent: {attribute: …, category: ["https://ehr.example/c|TEXTS"]}',
        "flag: {attribute: …, codes: [NOCALL]}",
    ]
    assert "Smith" not in shown.out
    decided = (
        FHIR + "    mapping:\n      " + decisions(shown.out.splitlines())[0].replace("ATTRIBUTE", "consent.sms").replace("…", "granted")
    )
    (tmp_path / "fhir.yaml").write_text(decided)
    assert emr_sync("-c", tmp_path / "fhir.yaml", "check-config").code == 0


def test_json_has_the_codes_and_the_lines(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    (tmp_path / "samples.hl7").write_text("".join(patients(*["HOLD"] * 3)), newline="")
    value = emr_sync("map", "adt", tmp_path / "samples.hl7", "--json").value
    assert (value["source"], value["patients"]) == ("adt", 3)
    assert value["codes"][0] == {"setting": "mapping", "path": "ZCP-2", "attribute": "do_not_contact", "codes": {"HOLD": 3}, "hidden": 0}
    assert any("HOLD" in line for line in value["lines"])
