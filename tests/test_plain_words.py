"""The check for forbidden words in texts for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import plain_words


def words(file: Path, text: str, name: str) -> list[tuple[int, str]]:
    file.write_text(text)
    return [(one.line, one.word) for one in plain_words.found(plain_words.SETS[name].read(file))]


@pytest.mark.parametrize(
    "text",
    ["nothing is heard", "Mend it", "x is no setting", "the value that stands", "let them through", "nobody loosened it", "sent in clear"],
)
def test_a_listed_word_is_found_with_its_line(tmp_path: Path, text: str) -> None:
    found = words(tmp_path / "page.md", f"# Title\n\n{text}.\n", "docs")
    assert [line for line, _ in found] == [3]


@pytest.mark.parametrize(
    "text",
    [
        "there is no setting",
        "it is no longer there",
        "SMART stands for this",
        "recommended",
        "`last heard`",
        "last_heard",
        "in clear-text form",
    ],
)
def test_plain_english_and_code_names_are_accepted(tmp_path: Path, text: str) -> None:
    assert words(tmp_path / "page.md", f"{text}\n```\nheard\n```\n", "docs") == []


def test_only_visible_text_of_a_template_is_checked(tmp_path: Path) -> None:
    page = '<p class="said">{{ said }}\n{% if heard %}new{% endif %}</p>\n<a title="last heard" href="/said">x</a>\n<script>said</script>'
    assert words(tmp_path / "page.html", page, "pages") == [(3, "heard")]


def test_python_literals_and_docstrings_are_checked(tmp_path: Path) -> None:
    assert words(tmp_path / "code.py", 'def said():\n    """Mend."""\n    return f"{said} anew"\n', "cli") == [(2, "Mend"), (3, "anew")]
