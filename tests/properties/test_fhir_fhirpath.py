"""Our FHIRPath compared with fhirpathpy, on random resources and random expressions of the supported subset."""

from __future__ import annotations

import re
from typing import Any

import fhirpathpy
from hypothesis import given
from hypothesis import strategies as st

from adapters.fhir.fhirpath import compile_expression, compile_path, compile_whole

TEXTS = st.sampled_from(["phone", "email", "home", "Home", "a", "b"])
POINT = st.fixed_dictionaries({}, optional={"system": TEXTS, "use": TEXTS, "value": TEXTS, "rank": st.integers(1, 3)})
EXTENSION = st.fixed_dictionaries(
    {"url": st.sampled_from(["a", "b"])}, optional={"valueBoolean": st.booleans(), "valueCode": TEXTS, "valueInteger": st.integers(1, 3)}
)
PATIENT = st.fixed_dictionaries(
    {"resourceType": st.just("Patient")},
    optional={
        "active": st.booleans(),
        "telecom": st.lists(POINT, min_size=1, max_size=4),
        "extension": st.lists(EXTENSION, min_size=1, max_size=3),
    },
)

FIELD = st.sampled_from(["system", "use", "value"])
LITERAL = TEXTS.map(lambda text: f"'{text}'")
TEST = st.one_of(
    st.tuples(FIELD, st.sampled_from(["=", "!=", "~", "!~"]), LITERAL).map(" ".join),
    FIELD.map("{}.exists()".format),
    FIELD.map("{}.empty()".format),
    st.integers(1, 3).map("rank = {}".format),
    st.tuples(FIELD, LITERAL, LITERAL).map(lambda parts: "{} in ({} | {})".format(*parts)),
    st.tuples(FIELD, TEXTS).map(lambda parts: "{0}.exists() and {0}.startsWith('{1}')".format(*parts)),
)
LOGIC = st.recursive(
    TEST,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or", "xor"]), inner).map(lambda parts: "({}) {} ({})".format(*parts)),
        inner.map("({}).not()".format),
    ),
    max_leaves=4,
)
TAKE = st.sampled_from(["", ".first()", ".last()", "[0]", "[1]"])
POINTS = st.tuples(st.just("Patient.telecom"), LOGIC.map(".where({})".format), TAKE).map("".join)
VALUES = st.tuples(POINTS, FIELD).map(".".join)
EXPRESSION = st.one_of(
    VALUES,
    POINTS.map("{}.exists()".format),
    st.tuples(VALUES, VALUES).map(" | ".join),
    st.tuples(st.sampled_from("ab"), st.sampled_from(["valueBoolean", "valueCode"])).map(lambda p: "Patient.extension('{}').{}".format(*p)),
    st.tuples(st.sampled_from("ab"), st.booleans()).map(
        lambda p: f"Patient.extension.where(url = '{p[0]}' and valueBoolean = {str(p[1]).lower()}).url"
    ),
    st.just("Patient.active | Patient.telecom.rank"),
)


@given(PATIENT, EXPRESSION)
def test_same_answer_as_fhirpathpy(patient: dict[str, Any], expression: str) -> None:
    ours = [node.value for node in compile_expression(expression).evaluate(patient)]
    assert ours == fhirpathpy.evaluate(patient, written_out(expression), [])


def written_out(expression: str) -> str:
    """``extension(url)`` is short for ``extension.where(url = url)`` (FHIR R4 2.1.9.1.5); fhirpathpy uses only the first of several."""
    return re.sub(r"extension\(('\w+')\)", r"extension.where(url = \1)", expression)


URL = "https://hospital.example/texting-ok"
VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS, st.lists(TEXTS), st.just({"coding": []}))
HIDDEN = st.just({"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]})
CODING = st.one_of(VALUE, st.fixed_dictionaries({}, optional={"code": VALUE, "_code": HIDDEN}), HIDDEN)
ODD_EXTENSION = st.one_of(
    st.fixed_dictionaries(
        {"url": st.sampled_from([URL, "a", 7])},
        optional={"valueCode": VALUE, "valueBoolean": VALUE, "_valueCode": HIDDEN, "valueCoding": CODING, "extension": VALUE},
    ),
    VALUE,
)
ODD_PATIENT = st.fixed_dictionaries(
    {"resourceType": st.sampled_from(["Patient", "Consent", 7, None])},
    optional={"extension": st.one_of(st.lists(ODD_EXTENSION, max_size=4), VALUE), "url": TEXTS, "_extension": HIDDEN},
)


@given(ODD_PATIENT, st.sampled_from(["valueCode", "valueBoolean", "valueQuantity", "valueCoding.code", "value.code", "value", "code"]))
def test_the_short_way_to_an_extension_finds_the_same_as_fhirpath(resource: dict[str, Any], name: str) -> None:
    expression = f"Patient.extension('{URL}').{name}"
    assert list(compile_path(expression)(resource)) == list(compile_whole(expression)(resource))
