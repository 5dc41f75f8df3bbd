"""Classifies a reply to a text: an opt-out, an opt-in, something for a person to review, or nothing of the kind. Pure (product section 6).

Any reasonable wording revokes consent (US 47 CFR 64.1200(a)(10), CTIA Messaging Principles 5.1.3), so an opt-out may be a keyword among
a few others, or a phrase like "stop texting me". A longer text that only contains a keyword, or a keyword with a typo, is for a person to
review. An opt-in is exactly its keyword, and never wins over a sign of an opt-out.

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
SHORTEST_INSIDE_A_TEXT = 3
"""Shorter keywords count only as the whole message: in a longer text they may be ordinary words."""
SHORTEST_WITH_A_TYPO = 4

_SEGMENT = re.compile(r"[.!?,;:\r\n()–—]+|\s-\s")  # noqa: RUF001 - dashes as phones write them
_LINES = re.compile(r"[\r\n]+")
_NOT_A_LETTER = re.compile(r"[\W_]+")
_HELD_DOWN = re.compile(r"(.)\1{2,}")

Words = tuple[str, ...]


class RecognizedReply(NamedTuple):
    """The classification of a reply. ``term``: what it was recognised by, in the form of ``wording.toml``; empty if by nothing."""

    kind: str | None
    scope: str | None
    term: str = ""


NOTHING = RecognizedReply(None, None)
PROVIDER_HINT = "provider_hint"
"""The term of a reply that only the messaging provider recognised."""


def meaning_of(body: str, opt_in_words: Collection[str] = OPT_IN_WORDS, opt_out_words: Collection[str] = ()) -> Recognised:
    """The classification without the term that it was recognised by."""
    return Recognised(*read_reply(body, opt_in_words, opt_out_words)[:2])


def read_reply(body: str, opt_in_words: Collection[str] = OPT_IN_WORDS, opt_out_words: Collection[str] = ()) -> RecognizedReply:
    """Classifies a reply. A site's words are added to the standard ones; none of them can turn a STOP into an opt-in."""
    wording, more = _wording(), frozenset(filter(None, map(_words, opt_out_words)))
    words_of_body = _words(body)
    parts = [words_of_body, *_first(_SEGMENT, body), *_first(_LINES, body)]
    for words in dict.fromkeys(parts):
        if (term := wording.alone(words, more)) is not None:
            return RecognizedReply(OPT_OUT, ALL_LINES if wording.is_everywhere(words_of_body) else LINE, term)
    if (term := wording.phrase(words_of_body)) is not None:
        return RecognizedReply(OPT_OUT, ALL_LINES if wording.is_everywhere(words_of_body) else LINE, term)
    if (term := wording.trace(words_of_body, more)) is not None or (term := wording.sign(body)) is not None:
        return RecognizedReply(REVIEW, LINE, term)
    opt_in = {_words(word) for word in opt_in_words}
    return RecognizedReply(OPT_IN, LINE, " ".join(words_of_body)) if words_of_body and words_of_body in opt_in else NOTHING


def hinted(reply: RecognizedReply, hint: str | None) -> RecognizedReply:
    """The classification with the opinion of the messaging provider, which only adds opt-outs.

    A provider's opt-in changes nothing: an opt-in is one of the enterprise's own words.
    """
    return RecognizedReply(OPT_OUT, LINE, PROVIDER_HINT) if hint == OPT_OUT and reply.kind != OPT_OUT else reply


def may_cancel_appointment(reply: RecognizedReply) -> bool:
    """Whether an opt-out by this keyword may also cancel an appointment."""
    return reply.kind == OPT_OUT and reply.term in _wording().appointment


class Wording:
    """The words and phrases of ``wording.toml``, normalized for comparison."""

    def __init__(self, text: str) -> None:
        data = tomllib.loads(text)
        self.keywords = frozenset(_words(word) for group in data["keywords"].values() for word in group)
        self.everywhere = frozenset(_words(word) for group in data["everywhere"].values() for word in group)
        self.around = frozenset(word for group in data["around"].values() for word in group)
        self.appointment = frozenset(data["appointment"]["keywords"])
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
        self.typo_keywords = tuple(word for (word, *rest) in sorted(self.keywords) if not rest and len(word) >= SHORTEST_WITH_A_TYPO)

    def alone(self, words: Words, more: Collection[Words]) -> str | None:
        """The keyword that these words consist of, alone or repeated, apart from a few words around it."""
        for keyword in sorted((*self.keywords, *more), key=len, reverse=True):
            rest = _without(words, keyword)
            around = self.around_strong if keyword in self.strong else self.around
            if rest is not None and all(word in around or (word,) in self.keywords for word in rest):
                return " ".join(keyword)
        return None

    def is_everywhere(self, words: Words) -> bool:
        """Whether the words are about every line."""
        return any(_without(words, keyword) is not None for keyword in self.everywhere)

    def phrase(self, words: Words) -> str | None:
        """The phrase in a text that revokes consent, unless it is negated."""
        text = " ".join(words)
        for pattern in self.phrases:
            for found in pattern.finditer(text):
                if not self._is_negated(text[: found.start()].split(), found.group().split(), words):
                    return found.group()
        return None

    def trace(self, words: Words, more: Collection[Words]) -> str | None:
        """What in a text may be an opt-out: a keyword, one with a typo, or a phrase that only a person can judge."""
        for one in sorted((*self.keywords, *more, *self.review)):
            if max(map(len, one)) >= SHORTEST_INSIDE_A_TEXT and _without(words, one) is not None:
                return " ".join(one)
        return next((typo for word in words if (typo := self._typo(word)) is not None), None)

    def sign(self, body: str) -> str | None:
        """A character that means stop, like a stop sign."""
        return next((sign for sign in self.signs if sign in body), None)

    def _is_negated(self, before: Sequence[str], found: Sequence[str], words: Words) -> bool:
        if not self.negations.isdisjoint(before[-2:]):
            return True
        # "Don't call, text me": a call that is not wanted, from somebody who may want texts.
        return found[-1] in self.calls and not self.texts.isdisjoint(words)

    def _typo(self, word: str) -> str | None:
        if len(word) < SHORTEST_WITH_A_TYPO - 1 or word in self.ordinary:
            return None
        return next((keyword for keyword in self.typo_keywords if _is_one_typo(word, keyword)), None)


@lru_cache(maxsize=1)
def _wording() -> Wording:
    return Wording((Path(__file__).parent / "wording.toml").read_text("utf-8"))


def _first(separator: re.Pattern[str], body: str) -> list[Words]:
    """The first part of a text that has words: the STOP in "STOP, I am at work", or the text above a signature."""
    return [words for part in separator.split(unicodedata.normalize("NFKC", body)) if (words := _words(part))][:1]


def _words(body: str) -> Words:
    """The words of a text without case, width, accents, apostrophes and punctuation. ``S.T.O.P.`` and ``STOPPPP`` become ``stop``."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", body)).casefold()
    kept = "".join(one for one in plain if unicodedata.category(one) not in ("Mn", "Cf") and one not in "'’`´")  # noqa: RUF001
    words = _NOT_A_LETTER.sub(" ", kept).split()
    if len(words) > 1 and all(len(word) == 1 for word in words):
        words = ["".join(words)]
    return tuple(_squeezed(word) for word in words)


def _squeezed(word: str) -> str:
    """Removes repeated letters: three or more become one, and so do two at the end if no keyword ends with them."""
    squeezed = _HELD_DOWN.sub(r"\1", word)
    return squeezed[:-1] if len(squeezed) > 3 and squeezed[-1] == squeezed[-2] and squeezed[-1] in "dpt" else squeezed


def _without(words: Words, part: Words) -> Words | None:
    """The words without each occurrence of ``part``; ``None`` if it does not occur."""
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


def _is_one_typo(word: str, keyword: str) -> bool:
    """Whether one letter is wrong, missing or extra, or two are swapped."""
    if word == keyword or abs(len(word) - len(keyword)) > 1:
        return False
    start = next((place for place, (a, b) in enumerate(zip(word, keyword, strict=False)) if a != b), min(len(word), len(keyword)))
    written, expected = word[start:], keyword[start:]
    swapped = len(written) > 1 and len(expected) > 1 and written[:2] == expected[1::-1] and written[2:] == expected[2:]
    return swapped or written[1:] == expected[1:] or written[1:] == expected or written == expected[1:]
