"""How a messaging provider's webhooks are signed and read, as it is written: in a preset, or in a site's own ``format``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from adapters.providers.format import EventRule, Hint, ProviderAnswer, ProviderFormat, Recipe
from adapters.providers.reading import TIMES
from adapters.providers.signatures import PARTS, SCHEMES
from adapters.schema import Duration, OneOrSeveral, SettingsGroup
from sync.config.check import checked
from sync.config.document import read
from sync.config.problems import ConfigError, one_of

SNS = "sns"
PRESETS = files("adapters").joinpath("providers", "presets")
Path = Annotated[str, Field(min_length=1, max_length=200)]


class HintPart(SettingsGroup):
    """Where the provider says that it took a text for an opt-out or an opt-in, and its words for them."""

    path: Path
    stop: list[str] = Field(default_factory=list)
    start: list[str] = Field(default_factory=list)


class EventPart(SettingsGroup):
    """One kind of event (``adapters.providers.format.EventRule``)."""

    kind: Literal["reply", "refusal"]
    when: dict[str, OneOrSeveral]
    id: Path
    patient: Path
    line: Path
    text: str = ""
    time: str = ""
    time_format: str = "iso"
    hint: HintPart | None = None
    code: str = ""
    refused: list[str] = Field(default_factory=list)
    international: bool = False

    @model_validator(mode="after")
    def _fits_its_kind(self) -> EventPart:
        if self.time_format not in TIMES:
            raise ValueError(f"unknown time_format. {one_of(self.time_format, TIMES)}")
        if self.kind == "reply" and not self.text:
            raise ValueError("a reply needs 'text', the path of what the patient wrote")
        if self.kind == "refusal" and not (self.code and self.refused):
            raise ValueError("a refusal needs 'code', and the codes that mean an opt-out in 'refused'")
        return self


class VerifyPart(SettingsGroup):
    """How requests are signed (``adapters.providers.format.Recipe``)."""

    scheme: str
    algorithm: Literal["md5hash", "md5", "sha1", "sha256", "sha384", "sha512"] = "sha256"
    header: OneOrSeveral = ()
    encoding: Literal["base64", "hex"] = "base64"
    signed: list[str] = Field(default_factory=list)
    joined: str = ""
    separator: str = ""
    prefix: str = ""
    timestamp: str = ""
    nonce: str = ""
    key_header: str = ""
    body_hash_parameter: str = ""
    issuer: str = ""
    url_hash: str = ""
    body_hash: str = ""
    tolerance: Duration | None = None

    @model_validator(mode="after")
    def _is_known(self) -> VerifyPart:
        if self.scheme not in (SNS, *SCHEMES):
            raise ValueError(f"unknown scheme. {one_of(self.scheme, (SNS, *SCHEMES))}")
        if unknown := [one for one in self.signed if one not in PARTS]:
            raise ValueError(f"unknown part of a signed text. {one_of(unknown[0], PARTS)}")
        if self.scheme in ("hmac", "ed25519") and not (self.header and self.signed):
            raise ValueError(f"the scheme {self.scheme} needs 'header', and the parts of the signed text in 'signed'")
        if self.scheme in ("jwt", "sorted_parameters") and not self.header:
            raise ValueError(f"the scheme {self.scheme} needs 'header', where the signature is")
        return self

    def recipe(self) -> Recipe:
        """The recipe. Header names are compared in lower case; parameters of ``sorted_parameters`` as they are."""
        fields = self.model_dump() | {"signed": tuple(self.signed)}
        if self.scheme == "sorted_parameters":
            return Recipe(**fields)
        lower = {name: fields[name].lower() for name in ("timestamp", "nonce", "key_header")}
        return Recipe(**fields | lower | {"header": tuple(name.lower() for name in self.header)})


class AnswerPart(SettingsGroup):
    """What the provider wants to hear after the commit."""

    status: Literal["200", "202", "204"] = "200"
    media: str = "text/plain"
    body: str = ""


class FormatPart(SettingsGroup):
    """A whole format (``adapters.providers.format.ProviderFormat``)."""

    body: Literal["form", "json", "either"]
    items: str = ""
    envelope: Literal["", "sns"] = ""
    events: list[EventPart] = Field(min_length=1)
    ignored: dict[str, OneOrSeveral] = Field(default_factory=dict)
    verify: VerifyPart
    answer: AnswerPart = AnswerPart()
    scope: Literal["line", "line_group"] = "line"

    def built(self, name: str, title: str) -> ProviderFormat:
        """The format as it is used."""
        answer = ProviderAnswer(int(self.answer.status), self.answer.media, self.answer.body)
        events = tuple(map(_rule, self.events))
        ignored = {path: tuple(values) for path, values in self.ignored.items()}
        return ProviderFormat(name, title, self.body, events, self.verify.recipe(), self.items, self.envelope, ignored, answer, self.scope)


class ProviderPresetPart(FormatPart):
    """A preset. ``sources``: where each field was found. ``unverified``: what no source was found for."""

    name: str
    title: str
    sources: list[str] = Field(min_length=1)
    unverified: list[str] = Field(default_factory=list)


def _rule(part: EventPart) -> EventRule:
    fields: dict[str, Any] = part.model_dump(exclude={"hint", "when", "refused"})
    when = {path: tuple(values) for path, values in part.when.items()}
    return EventRule(**fields, when=when, hint=_hint(part.hint) if part.hint else None, refused=tuple(part.refused))


def _hint(part: HintPart) -> Hint:
    return Hint(part.path, tuple(word.upper() for word in part.stop), tuple(word.upper() for word in part.start))


@cache
def names() -> tuple[str, ...]:
    """Every preset there is."""
    return tuple(sorted(file.name.removesuffix(".yaml") for file in PRESETS.iterdir() if file.name.endswith(".yaml")))


@cache
def preset(name: str) -> ProviderPresetPart:
    """One preset. Raises ``ConfigError`` when its file is wrong (a test loads them all), ``KeyError`` when there is none."""
    if name not in names():
        raise KeyError(name)
    document = read(PRESETS.joinpath(f"{name}.yaml").read_text("utf-8"))
    found = checked(document, (), ProviderPresetPart, document.data)
    if found is None or document.mistakes:
        raise ConfigError(f"provider preset {name}", document.mistakes)
    return found
