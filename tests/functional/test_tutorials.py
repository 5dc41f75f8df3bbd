"""The tutorials in docs, followed as they are written: every file, every command, and the output that they show."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.tutorial import Tutorial, blocks, pattern

PAGES = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))


@pytest.fixture
def tutorial(tmp_path: Path) -> Iterator[Tutorial]:
    followed = Tutorial(tmp_path)
    yield followed
    followed.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_works_as_it_is_written(tutorial: Tutorial, page: Path) -> None:
    if "$ curl " in page.read_text("utf-8") and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    tutorial.follow(page)


def test_every_tutorial_is_in_the_list_of_pages() -> None:
    listed = (PAGES[0].parents[1] / "README.md").read_text("utf-8")
    assert [page.name for page in PAGES if f"(tutorials/{page.name})" not in listed] == []


def test_a_console_has_commands_with_the_lines_that_continue_them_and_their_output() -> None:
    (block,) = blocks("text\n```console\n$ cat <<END\n> one\n> END\none\n$ true\n```\n")
    assert [(one.text, one.shown) for one in block.commands] == [("cat <<END\none\nEND\n", "one\n"), ("true\n", "")]


@pytest.mark.parametrize(
    ("shown", "out", "fits"),
    [
        ("a  b\n", "a b   \n", True),
        ("a\n", "a\nb\n", False),
        ("a …\n", "a 12:30 c\n", True),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("…\nd\n", "d\n", True),
        ("a.c\n", "abc\n", False),
    ],
)
def test_output_is_compared_but_for_widths_and_omissions(shown: str, out: str, fits: bool) -> None:
    assert (pattern(shown).fullmatch(out) is not None) == fits


def test_wrong_output_and_a_failing_command_are_found(tutorial: Tutorial, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for content in ("$ echo one\ntwo\n", "$ false\n", "$ emr-sync nonsense\n"):
        page.write_text(f"```console\n{content}```\n")
        with pytest.raises(AssertionError):
            tutorial.follow(page)
