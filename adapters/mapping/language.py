"""Converts the language codes and names of EMRs to BCP-47 tags. Pure.

Accepted are ISO 639-1 codes, both sets of ISO 639-2 codes (T and B), the ISO 639-3 codes in clinical use, BCP-47 tags, the English names
of the IANA language subtag registry, the proprietary codes of EMRs in ``tables/languages.yaml``, and those of the site. An ISO 639-3
code that is in no table is accepted only if its code system is declared to be ISO 639 or BCP-47: nearly every proprietary three-letter
code is also the ISO 639-3 code of an unrelated language. "Declined", "unknown" and codes for no language give ``None``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache

from adapters.mapping.tables import table

COMMON = {
    "en": "en", "eng": "en", "english": "en", "en-us": "en-US",
    "es": "es", "spa": "es", "spanish": "es", "es-us": "es-US",
    "fr": "fr", "fra": "fr", "fre": "fr", "french": "fr",
    "de": "de", "deu": "de", "ger": "de", "german": "de",
    "zh": "zh", "zho": "zh", "chi": "zh", "chinese": "zh",
    "vi": "vi", "vie": "vi", "ar": "ar", "ara": "ar", "ru": "ru", "rus": "ru", "pt": "pt", "por": "pt",
}  # fmt: skip
DECLINED = ("declin", "refus", "unknown", "unspec", "undetermined", "not ", "no ", "unavail", "patient ")
# ISO 639 assigns some of these to small languages. In an EMR they are null flavours (HL7 v3 NullFlavor) or mean "no language".
NO_LANGUAGE = frozenset({"", "und", "zxx", "mul", "mis", "unk", "oth", "ask", "asku", "nask", "dec", "none", "other"})
STANDARDS = ("639", "BCP", "5646", "3066", "1.0.639")
"""Parts of a code system's name or URI that show that its codes are ISO 639 or BCP-47."""

_LEAST_NAME = 4  # letters: shorter names in the registry are also codes in use
_PRIVATE = re.compile(r"q[a-t][a-z]|x")  # ISO 639-2 reserves qaa to qtz for local use, BCP-47 everything after x
_SEVERAL = re.compile(r"\s*[;/,()]\s*")
_MACRO = re.compile(r"\s*\(macrolanguage\)$")


def bcp47(code: str) -> str | None:
    """The BCP-47 tag of a code, tag or English name, in canonical case, or ``None``."""
    return COMMON.get(code) or STANDARD.tag(code)


def is_declined(code: str) -> bool:
    """Whether the text states that the language is unknown or declined, unlike an unrecognised language."""
    text = code.strip().casefold()
    return text in NO_LANGUAGE or text.startswith(DECLINED)


def is_standard(system: str) -> bool:
    """Whether the code system is declared to be ISO 639 or BCP-47."""
    return any(one in system.upper() for one in STANDARDS)


class Languages:
    """The languages of one source. ``own`` maps the site's codes and names to tags. ``ValueError`` for an invalid BCP-47 tag."""

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        for code, tag in (own or {}).items():
            if _tag(tag.casefold().replace("_", "-"), any_of_iso=True) is None:
                raise ValueError(f"languages.{code} is {tag!r}: use a BCP-47 tag, for example 'so' or 'zh-Hant'")
        self._own = {code.strip().casefold(): tag for code, tag in (own or {}).items()}
        self.tag = lru_cache(maxsize=4096)(self._read)
        self.coded = lru_cache(maxsize=4096)(self._coded)

    def _read(self, code: str) -> str | None:
        """The tag of a code or name."""
        text = code.strip().casefold()
        return self._own.get(text) or COMMON.get(text) or _codes().get(text) or _tag(text.replace("_", "-")) or _name(text)

    def _coded(self, code: str, text: str, system: str) -> str | None:
        """The tag of a code and its display text.

        A person chose the text, and an EMR's proprietary code may be the ISO 639 code of another language (``CRE`` for Haitian Creole), so
        the text takes precedence unless the code is the site's own or its code system is declared to be a standard.
        """
        folded = code.strip().casefold()
        if folded in self._own:
            return self._own[folded]
        if is_standard(system) and (tag := COMMON.get(folded) or _tag(folded.replace("_", "-"), any_of_iso=True)):
            return tag
        display = text.strip().casefold()
        return self._own.get(display) or _name(display) or self._read(code) or self._read(text)


def _tag(text: str, *, any_of_iso: bool = False) -> str | None:
    primary = text.partition("-")[0]
    if primary in NO_LANGUAGE or _PRIVATE.fullmatch(primary) or not (any_of_iso or len(primary) == 2 or primary in _three_letters()):
        return None
    from langcodes import Language, standardize_tag
    from langcodes.tag_parser import LanguageTagError

    try:
        tag = standardize_tag(text)
        return tag if Language.get(tag).is_valid() and tag.partition("-")[0] not in NO_LANGUAGE else None
    except LanguageTagError:
        return None


def _name(text: str) -> str | None:
    """The tag of an English name; for ``spanish; castilian`` that of the first known name."""
    return next((tag for name in (text, *_SEVERAL.split(text)) if (tag := _named(name)) is not None), None)


def _named(name: str) -> str | None:
    if name in NO_LANGUAGE or len(name) < _LEAST_NAME:
        return _names().get(name)
    return COMMON.get(name) or _names().get(name) or _registry().get(name)


@cache
def _names() -> dict[str, str]:
    return dict(table("languages")["names"])


@cache
def _codes() -> dict[str, str]:
    return {code.casefold(): tag for code, tag in table("languages")["codes"].items()}


@cache
def _three_letters() -> frozenset[str]:
    """The ISO 639-2 codes (T and B) and the ISO 639-3 codes in clinical use."""
    from langcodes.data_dicts import LANGUAGE_ALPHA3, LANGUAGE_ALPHA3_BIBLIOGRAPHIC

    two_letters = [code for code in LANGUAGE_ALPHA3 if len(code) == 2]
    both = [listed[code] for listed in (LANGUAGE_ALPHA3, LANGUAGE_ALPHA3_BIBLIOGRAPHIC) for code in two_letters if code in listed]
    return frozenset((*both, *table("languages")["iso_639_2"].split(), *table("languages")["iso_639_3"].split()))


@cache
def _registry() -> dict[str, str]:
    """English name -> tag, from the IANA registry bundled with ``langcodes``. Loaded on first use."""
    from langcodes.registry_parser import parse_registry

    names: dict[str, str] = {}
    for entry in parse_registry():  # type: ignore[no-untyped-call]  # the library has no types for this module
        if entry.get("Type") == "language" and "Deprecated" not in entry:
            for name in entry["Description"]:
                names.setdefault(_MACRO.sub("", name.casefold()), entry["Subtag"])
    return {name: tag for name, tag in names.items() if tag not in NO_LANGUAGE and ".." not in tag}


STANDARD = Languages()
"""The languages without codes of a site."""
