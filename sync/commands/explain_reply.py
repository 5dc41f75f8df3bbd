"""``explain-reply``: how a reply to a text, or a messaging provider's webhook, would be read. Needs no database."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.mapping.telecom import e164
from adapters.providers.reading import Event, UnusableEvent
from adapters.providers.request import ProviderRequest
from store.domain.enterprise import Enterprise
from store.domain.phone_numbers import Numbering
from store.domain.reply_recognition import RecognizedReply, hinted, may_cancel_appointment, read_reply
from store.domain.sms_consent import APPOINTMENT_CANCEL, OPT_OUT
from store.provider_event import STOP, ProviderEvent
from sync.commands import configured, output, private
from sync.commands.configured import OfEnterprise
from sync.commands.output import AsJson
from sync.config import ConfiguredProvider, Settings
from sync.config.problems import UsageError, one_of

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def explain_reply(
    context: typer.Context,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help=f"The text of the reply, {private.HINT}.", callback=private.line)
    ] = None,
    enterprise: OfEnterprise = None,
    provider: Annotated[str | None, typer.Option(help="A messaging provider of the configuration: read its webhook in --body.")] = None,
    body: Annotated[str | None, typer.Option(metavar="FILE", help="The body of a webhook, or - to read it from standard input.")] = None,
    content_type: Annotated[str | None, typer.Option(help="The content type of the body; by default as it looks.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how a reply would be read, and the wording matched; with --provider, how its webhook would. Stores nothing."""
    settings = configured.settings(context)
    if (provider is None) != (body is None) or (text is None) == (provider is None):
        raise UsageError("give the text of a reply, or --provider NAME and --body FILE")
    if provider is None or body is None:
        rules = settings.enterprises[configured.enterprise(settings, enterprise)]
        _show([_outcome(read_reply(text or "", rules.opt_in_words, rules.opt_out_words))], as_json, alone=True)
        return
    found = _provider(settings, provider)
    events = _events(found, _read(body), content_type)
    _show([_explained(one, found, settings.enterprises[found.enterprise]) for one in events], as_json)


def _outcome(found: RecognizedReply) -> dict[str, Any]:
    also = {"also_maybe": APPOINTMENT_CANCEL} if may_cancel_appointment(found) else {}
    return {"outcome": found.kind or "none", "scope": found.scope, "term": found.term or None, **also}


def _provider(settings: Settings, name: str) -> ConfiguredProvider:
    if name not in settings.providers:
        raise UsageError(f"unknown provider {name!r}. {one_of(name, settings.providers)}")
    return settings.providers[name]


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == private.STDIN else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"the file of --body cannot be read ({error.strerror}); correct its path") from None


def _events(provider: ConfiguredProvider, body: bytes, content_type: str | None) -> list[Event]:
    from sync.inbound import read_body  # with the store and the HTTP API, which no other explanation needs

    looks = JSON if body.lstrip()[:1] in (b"{", b"[") else FORM
    headers = {"content-type": content_type or looks}
    return read_body(provider, ProviderRequest("", headers, body.strip(), "", datetime.now(UTC)))


def _explained(event: Event, provider: ConfiguredProvider, rules: Enterprise) -> dict[str, Any]:
    if isinstance(event, UnusableEvent):
        return {"event": "rejected", "reason": event.reason, "detail": event.detail}
    if not isinstance(event, ProviderEvent):
        return {"event": "ignored"}
    numbering = Numbering(rules.default_region, e164)
    line = numbering.spelled(provider.line_of.get(event.line, event.line))
    numbers = numbering.candidates(f"+{event.patient}" if event.international else "") or numbering.candidates(event.patient)
    read = hinted(read_reply(event.text, rules.opt_in_words, rules.opt_out_words), OPT_OUT if event.hint == STOP else None)
    reading = _outcome(read) if event.kind == "reply" else {"outcome": OPT_OUT, "scope": None, "term": f"code {event.code}"}
    where = {"patient": ", ".join(numbers) or "no number", "line": line or "no line: an opt-out counts for all lines"}
    rest = {"group": ", ".join(provider.group) or None, "hint": event.hint, "at": event.at.isoformat() if event.at else None}
    return {"event": event.kind, **reading, **where, **rest}


def _show(found: list[dict[str, Any]], as_json: bool, *, alone: bool = False) -> None:
    if as_json:
        output.emit(found[0] if alone else found)
        return
    for one in found:
        output.table(("", ""), [(name, value) for name, value in one.items() if value is not None])
