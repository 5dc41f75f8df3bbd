"""One noun, one name: what two files would call alike is told apart."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent

MIRRORS = {"PatientMapper"}
"""The same thing on purpose: each protocol maps a patient."""


def test_no_two_classes_of_the_program_have_the_same_name() -> None:
    places = defaultdict[str, set[str]](set)
    for room in ("adapters", "store", "sync"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    places[node.name].add(str(path.relative_to(ROOT)))
    twice = {name: sorted(where) for name, where in places.items() if len(where) > 1 and name not in MIRRORS}
    assert not twice
