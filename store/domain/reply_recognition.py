"""What a reply to a text means: an opt-out, an opt-in, something for a person to review, or nothing of the kind. Pure (product section 6).

Any reasonable wording revokes consent (US 47 CFR 64.1200(a)(10), CTIA Messaging Principles 5.1.3), so an opt-out may be a keyword among
a few others, or a phrase like "stop texting me". A longer text that merely holds a keyword, and one that is a slip of the finger away
from it, is for a person to review. An opt-in is nothing but its keyword, and never wins over a trace of an opt-out.

The wording is data: ``wording.toml``.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from store.domain.sms_consent import ALL_LINES, LINE, OPT_IN, OPT_OUT, REVIEW, Recognised

OPT_IN_WORDS = frozenset({"START", "UNSTOP", "YES"})
SHORTEST_IN_A_TEXT = 3
"""Shorter keywords count only as the whole message: in a longer text they are words of it."""
SHORTEST_WITH_A_SLIP = 4

_SEGMENT = re.compile(r"[.!?,;:\r\n()–—]+|\s-\s")  # noqa: RUF001 - dashes as phones write them
_LINES = re.compile(r"[\r\n]+")
_NOT_A_LETTER = re.compile(r"[\W_]+")
_HELD_DOWN = re.compile(r"(.)\1{2,}")

Words = tuple[str, ...]


class RecognizedReply(NamedTuple):
    """How a reply is read. ``term`` is what it was recognised by, in the form of ``wording.toml``; empty for nothing."""

    kind: str | None
    scope: str | None
    term: str = ""


NOTHING = RecognizedReply(None, None)


def recognise(body: str, opt_in_words: Collection[str] = OPT_IN_WORDS, opt_out_words: Collection[str] = ()) -> Recognised:
    """The meaning of a reply, without what it was recognised by."""
    return Recognised(*read(body, opt_in_words, opt_out_words)[:2])


def read(body: str, opt_in_words: Collection[str] = OPT_IN_WORDS, opt_out_words: Collection[str] = ()) -> RecognizedReply:
    """The meaning of a reply. The words of a site add to ours, and none of them can make a STOP mean yes."""
    wording, more = _wording(), frozenset(filter(None, map(_words, opt_out_words)))
    said = _words(body)
    parts = [said, *_first(_SEGMENT, body), *_first(_LINES, body)]
    for words in dict.fromkeys(parts):
        if (term := wording.alone(words, more)) is not None:
            return RecognizedReply(OPT_OUT, ALL_LINES if wording.is_everywhere(said) else LINE, term)
    if (term := wording.phrase(said)) is not None:
        return RecognizedReply(OPT_OUT, ALL_LINES if wording.is_everywhere(said) else LINE, term)
    if (term := wording.trace(said, more)) is not None or (term := wording.sign(body)) is not None:
        return RecognizedReply(REVIEW, LINE, term)
    opt_in = {_words(word) for word in opt_in_words}
    return RecognizedReply(OPT_IN, LINE, " ".join(said)) if said and said in opt_in else NOTHING


class Wording:
    """The wording of ``wording.toml``, made ready to compare."""

    def __init__(self, text: str) -> None:
        data = tomllib.loads(text)
        self.keywords = frozenset(_words(word) for group in data["keywords"].values() for word in group)
        self.everywhere = frozenset(_words(word) for group in data["everywhere"].values() for word in group)
        self.around = frozenset(word for group in data["around"].values() for word in group)
        self.strong = frozenset(_words(word) for word in data["around_strong"]["keywords"])
        self.around_strong = self.around | frozenset(data["around_strong"]["words"])
        phrases = data["phrases"]
        parts = {name: frozenset(phrases.pop(name)) for name in ("gap", "text", "call")}
        self.phrases = tuple(_phrase(phrase, parts) for group in phrases.values() for phrase in group)
        self.texts, self.calls = parts["text"], parts["call"]
        self.negations = frozenset(data["negations"]["words"])
        self.review = tuple(_words(word) for word in (*data["review"]["words"], *data["review"]["phrases"]))
        self.signs = tuple(data["review"]["signs"])
        self.ordinary = frozenset(data["ordinary"]["words"])
        self.slips = tuple(word for (word, *rest) in sorted(self.keywords) if not rest and len(word) >= SHORTEST_WITH_A_SLIP)

    def alone(self, words: Words, more: Collection[Words]) -> str | None:
        """The keyword that is the whole of these words, alone or repeated, but for a few around it."""
        for keyword in sorted((*self.keywords, *more), key=len, reverse=True):
            rest = _without(words, keyword)
            around = self.around_strong if keyword in self.strong else self.around
            if rest is not None and all(word in around or (word,) in self.keywords for word in rest):
                return " ".join(keyword)
        return None

    def is_everywhere(self, words: Words) -> bool:
        """Whether it names every line."""
        return any(_without(words, keyword) is not None for keyword in self.everywhere)

    def phrase(self, words: Words) -> str | None:
        """The phrase in a text that revokes, unless something turns it round."""
        text = " ".join(words)
        for pattern in self.phrases:
            for found in pattern.finditer(text):
                if not self._turned(text[: found.start()].split(), found.group().split(), words):
                    return found.group()
        return None

    def trace(self, words: Words, more: Collection[Words]) -> str | None:
        """What in a text may be an opt-out: a keyword, a slip away from one, or a phrase that only a person can place."""
        for one in sorted((*self.keywords, *more, *self.review)):
            if max(map(len, one)) >= SHORTEST_IN_A_TEXT and _without(words, one) is not None:
                return " ".join(one)
        return next((slip for word in words if (slip := self._slip(word)) is not None), None)

    def sign(self, body: str) -> str | None:
        """A sign that forbids, like a stop sign."""
        return next((sign for sign in self.signs if sign in body), None)

    def _turned(self, before: Sequence[str], found: Sequence[str], words: Words) -> bool:
        if not self.negations.isdisjoint(before[-2:]):
            return True
        # "Don't call, text me": a call that is not wanted, from somebody who may want texts.
        return found[-1] in self.calls and not self.texts.isdisjoint(words)

    def _slip(self, word: str) -> str | None:
        if len(word) < SHORTEST_WITH_A_SLIP - 1 or word in self.ordinary:
            return None
        return next((keyword for keyword in self.slips if _is_one_slip(word, keyword)), None)


@lru_cache(maxsize=1)
def _wording() -> Wording:
    return Wording((Path(__file__).parent / "wording.toml").read_text("utf-8"))


def _first(separator: re.Pattern[str], body: str) -> list[Words]:
    """The first part of a text that has words: "STOP, I am at work", and what stands above a signature."""
    return [words for part in separator.split(unicodedata.normalize("NFKC", body)) if (words := _words(part))][:1]


def _words(body: str) -> Words:
    """A text without case, width, accents, apostrophes and punctuation. ``S.T.O.P.`` and ``STOPPPP`` are ``stop``."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", body)).casefold()
    kept = "".join(one for one in plain if unicodedata.category(one) not in ("Mn", "Cf") and one not in "'’`´")  # noqa: RUF001
    words = _NOT_A_LETTER.sub(" ", kept).split()
    if len(words) > 1 and all(len(word) == 1 for word in words):
        words = ["".join(words)]
    return tuple(_squeezed(word) for word in words)


def _squeezed(word: str) -> str:
    """Letters that were held down: three or more of one are one, and so are two at the end where no keyword has them."""
    squeezed = _HELD_DOWN.sub(r"\1", word)
    return squeezed[:-1] if len(squeezed) > 3 and squeezed[-1] == squeezed[-2] and squeezed[-1] in "dpt" else squeezed


def _without(words: Words, part: Words) -> Words | None:
    """The words without each place where ``part`` stands; ``None`` where it does not."""
    size, rest, place, found = len(part), [], 0, False
    while place < len(words):
        if words[place : place + size] == part:
            place, found = place + size, True
        else:
            rest.append(words[place])
            place += 1
    return tuple(rest) if found else None


def _phrase(phrase: str, parts: dict[str, frozenset[str]]) -> re.Pattern[str]:
    def either(words: Iterable[str]) -> str:
        return "(?:" + "|".join(sorted(words)) + ")"

    text = re.escape(phrase).replace(r"\{", "{").replace(r"\}", "}").replace(r"\ ", " ")
    text = text.replace("{gap} ", f"(?:{either(parts['gap'])} ){{0,3}}")
    return re.compile(rf"\b{text.replace('{text}', either(parts['text'])).replace('{call}', either(parts['call']))}\b")


def _is_one_slip(word: str, keyword: str) -> bool:
    """One letter wrong, missing, too many, or two of them swapped."""
    if word == keyword or abs(len(word) - len(keyword)) > 1:
        return False
    start = next((place for place, (a, b) in enumerate(zip(word, keyword, strict=False)) if a != b), min(len(word), len(keyword)))
    mine, theirs = word[start:], keyword[start:]
    swapped = len(mine) > 1 and len(theirs) > 1 and mine[:2] == theirs[1::-1] and mine[2:] == theirs[2:]
    return swapped or mine[1:] == theirs[1:] or mine[1:] == theirs or mine == theirs[1:]
