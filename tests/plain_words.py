"""Finds words that texts for people must not contain and suggests others: ``python -m tests.plain_words [SET ...]``.

The sets: ``cli`` (string literals and docstrings of ``sync``: commands, configuration, log events, notes of runs), ``pages`` (HTML
templates), ``readme`` and ``docs``; by default all of them. Code in Markdown is skipped: names of fields, settings and events are
not prose. The decision records and the changelog are skipped, too.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

WORDS = {
    "anew": "again",
    "brakes?": "safeguard",
    "broke off|breaks off": "was incomplete",
    "came of it|comes of it": "the result",
    "heard": "received",
    "in clear": "unencrypted, or in plain text",
    "lets? us in|refuses us": "access denied",
    "lets? (it|them|one|some|this|that)? ?through": "approve, or admit",
    "loosen(s|ed|ing)?": "permit contact",
    "mend(s|ed|ing)?": "fix, or, of a count, errors",
    "mind who": "say what the text contains",
    "of whom nobody|whom nobody": "name who or what is unknown",
    "parted": "split",
    "said": "stated, or reported",
    "sign of life": "heartbeat",
    "somebody new": "a new patient",
    "stands(?! for| still)|stood(?! for| still)": "is, or is in force",
    "taken? apart": "split, or undo the merge",
    "thereby": "so, or a new sentence",
    "which so (do|does)": "say who does what",
    "without a word": "without data",
    # "there is no" is English; "it is no setting" is not
    "(?<!there )is no(?! (longer|more|less|later|fewer|different|need|use))": "is not a, or unknown",
}
"""A word or phrase, as a pattern for whole words -> what to write instead."""

PATTERNS = [(re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE), instead) for words, instead in WORDS.items()]
SHOWN_ATTRIBUTES = frozenset({"alt", "aria-label", "aria-description", "placeholder", "title", "data-confirm", "content"})
FENCE = re.compile(r"^\s*(```|~~~)")
CODE = re.compile(r"`[^`]*`")
JINJA = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)


class Text(NamedTuple):
    """A piece of text that people read, with its file and line."""

    file: Path
    line: int
    text: str


class Found(NamedTuple):
    """A forbidden word in a text."""

    file: Path
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.word}: write {self.instead}"


def found(texts: Iterator[Text]) -> list[Found]:
    """Every forbidden word, in the order of the texts."""
    return [
        Found(one.file, one.line + one.text.count("\n", 0, match.start()), match[0].strip(), instead)
        for one in texts
        for pattern, instead in PATTERNS
        for match in pattern.finditer(one.text)
    ]


def python(file: Path) -> Iterator[Text]:
    """String literals and docstrings (the docstrings of commands are their help)."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(file, node.lineno, node.value)


def markdown(file: Path) -> Iterator[Text]:
    """Lines of prose, without code spans and fenced code."""
    fenced = False
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield Text(file, number, CODE.sub("``", line))


class _Page(HTMLParser):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.texts = file, list[Text]()
        self._silent = ""

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Collects attributes that are visible or read aloud."""
        self._silent = tag if tag in ("script", "style") else ""
        self.texts += [Text(self.file, self.getpos()[0], value) for name, value in attrs if value and name in SHOWN_ATTRIBUTES]

    def handle_endtag(self, tag: str) -> None:
        """Ends a hidden element."""
        self._silent = ""

    def handle_data(self, data: str) -> None:
        """Collects visible text."""
        if not self._silent:
            self.texts.append(Text(self.file, self.getpos()[0], data))


def template(file: Path) -> Iterator[Text]:
    """The visible text of a page, without template expressions."""
    page = _Page(file)
    page.feed(JINJA.sub(lambda match: " " + "\n" * match[0].count("\n"), file.read_text("utf-8")))
    page.close()
    yield from page.texts


class TextSet(NamedTuple):
    """Files of one kind, and the function that reads their texts."""

    patterns: tuple[str, ...]
    read: Callable[[Path], Iterator[Text]]

    def texts(self) -> Iterator[Text]:
        """Every text of every file."""
        for pattern in self.patterns:
            for file in sorted(ROOT.glob(pattern)):
                yield from self.read(file)


SETS = {
    "cli": TextSet(("sync/*.py", "sync/commands/*.py", "sync/config/*.py"), python),
    "pages": TextSet(("store/web/pages/templates/**/*.html",), template),
    "readme": TextSet(("README.md",), markdown),
    "docs": TextSet(("docs/*.md",), markdown),
}


def main(names: Sequence[str]) -> int:
    """Prints the findings; returns 1 if there are any."""
    if unknown := set(names) - SETS.keys():
        print(f"unknown set {sorted(unknown)[0]!r}; use {', '.join(SETS)}", file=sys.stderr)
        return 2
    wrong = [one for name in names or SETS for one in found(SETS[name].texts())]
    for one in wrong:
        print(one)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
