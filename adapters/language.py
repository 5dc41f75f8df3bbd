"""Languages as EMRs write them, as BCP-47 tags. Pure.

ISO 639-1, 639-2 (both of its alphabets) and 639-3 codes, BCP-47 tags, and the English names of the IANA language
subtag registry. "Declined", "unknown" and codes that name no language are ``None``.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

COMMON = {
    "en": "en", "eng": "en", "english": "en", "en-us": "en-US",
    "es": "es", "spa": "es", "spanish": "es", "es-us": "es-US",
    "fr": "fr", "fra": "fr", "fre": "fr", "french": "fr",
    "de": "de", "deu": "de", "ger": "de", "german": "de",
    "zh": "zh", "zho": "zh", "chi": "zh", "chinese": "zh",
    "vi": "vi", "vie": "vi", "ar": "ar", "ara": "ar", "ru": "ru", "rus": "ru", "pt": "pt", "por": "pt",
}  # fmt: skip
# Names in daily use that the registry spells otherwise.
NAMES = {"farsi": "fa", "greek": "el", "creole": "ht", "punjabi": "pa", "mandarin": "zh", "sign language": "sgn"}
DECLINED = ("declin", "refus", "unknown", "unspec", "undetermined", "not ", "no ", "unavail", "patient ")
# ISO 639 gives some of these to small languages; in an EMR they are the null flavours of HL7 or "not a language".
NO_LANGUAGE = frozenset({"", "und", "zxx", "mul", "mis", "unk", "oth", "ask", "asku", "nask", "dec", "none", "other"})

_PRIVATE = re.compile(r"q[a-t][a-z]|x")  # ISO 639-2 leaves qaa to qtz to local use, BCP-47 everything behind x
_SEVERAL = re.compile(r"\s*[;/,]\s*")


@lru_cache(maxsize=4096)
def bcp47(code: str) -> str | None:
    """The BCP-47 tag of a code, tag or English name, in its canonical case, or ``None``."""
    text = code.strip().casefold()
    return COMMON.get(text) or _tag(text.replace("_", "-")) or _name(text)


def is_declined(code: str) -> bool:
    """Whether the text says that the language is not known, rather than naming one that we do not know."""
    text = code.strip().casefold()
    return text in NO_LANGUAGE or text.startswith(DECLINED)


def _tag(text: str) -> str | None:
    if text in NO_LANGUAGE or _PRIVATE.fullmatch(text.partition("-")[0]):
        return None
    from langcodes import Language, standardize_tag
    from langcodes.tag_parser import LanguageTagError

    try:
        tag = standardize_tag(text)
        return tag if Language.get(tag).is_valid() and tag.partition("-")[0] not in NO_LANGUAGE else None
    except LanguageTagError:
        return None


def _name(text: str) -> str | None:
    """By English name; of ``spanish; castilian`` the first that is known."""
    names = (text, *_SEVERAL.split(text))
    return next((tag for name in names if name not in NO_LANGUAGE and (tag := NAMES.get(name) or _registry().get(name))), None)


@cache
def _registry() -> dict[str, str]:
    """English name -> tag, from the IANA registry that ``langcodes`` carries. Read when a name first needs it."""
    from langcodes.registry_parser import parse_registry

    names: dict[str, str] = {}
    for entry in parse_registry():  # type: ignore[no-untyped-call]  # the library types only its front door
        if entry.get("Type") == "language" and "Deprecated" not in entry:
            for name in entry["Description"]:
                names.setdefault(name.casefold(), entry["Subtag"])
    return {name: tag for name, tag in names.items() if tag not in NO_LANGUAGE and ".." not in tag}
