"""Which settings apply to which message (product section 7): every cell of the table, as a situation."""

from __future__ import annotations

from typing import Any

from store.domain.decision import KnownPatient
from store.domain.sms_consent import OptOut
from tests.spec.situation import CELL, CELL_PHONE, HOME_PHONE, LINE, SECOND_CELL, SECOND_CELL_PHONE, Case, Table, ask, patient

TYPES = ("automation", "broadcast", "campaign", "manual")
TWO_CELLS = (CELL_PHONE, SECOND_CELL_PHONE, HOME_PHONE)

SETTINGS: tuple[tuple[str, KnownPatient, dict[str, Any], tuple[str, ...]], ...] = (
    ("Do Not Contact is yes", patient(do_not_contact="yes"), {}, ("no; do_not_contact", "sms to cell", "sms to cell", "sms to cell")),
    (
        "prefers e-mail",
        patient(preferred_method="email"),
        {},
        ("email to e-mail; sms: not_preferred; voice: not_preferred", "sms to cell", "sms to cell", "sms to cell"),
    ),
    (
        "prefers the second cell number",
        patient(phones=TWO_CELLS, preferred_phone=SECOND_CELL),
        {},
        ("sms to second cell", "sms to cell", "sms to cell", "sms to second cell"),
    ),
    (
        "declined billing texts; the message is about billing",
        patient(topics={"billing.sms": "denied"}),
        {"topic": "billing"},
        ("voice to cell; sms: topic_declined", "sms to cell", "sms to cell", "sms to cell"),
    ),
    (
        "declined billing on every channel; the message is about billing",
        patient(topics={"billing.sms": "denied", "billing.voice": "denied", "billing.email": "denied"}),
        {"topic": "billing"},
        ("no; topic_declined", "sms to cell", "sms to cell", "sms to cell"),
    ),
    ("opted out of texts", patient(OptOut(LINE, CELL)), {}, ("voice to cell; sms: sms_opted_out",) * 4),
    (
        "denied calls; no cell phone",
        patient(phones=(HOME_PHONE,), consents={"voice": "denied"}),
        {},
        ("email to e-mail; sms: not_textable; voice: voice_denied",) * 4,
    ),
    (
        "denied e-mail; no phone",
        patient(phones=(), consents={"email": "denied"}),
        {},
        ("no; sms: no_address; voice: no_address; email: email_denied",) * 4,
    ),
)


MESSAGES = Table(
    "Which settings apply to which message",
    "The patient has a cell phone, a home phone and an e-mail address; the message has copy for every channel.",
    tuple(
        Case(f"{message_type}: {situation}", ask(message_type, **more), known, answer)
        for situation, known, more, answers in SETTINGS
        for message_type, answer in zip(TYPES, answers, strict=True)
    ),
)

WORKED_EXAMPLE = Table(
    "The worked example",
    "The patient has a cell phone and has opted out of texts. The broadcast has copy for text and call.",
    (
        Case(
            "broadcast with copy for text and call; opted out of texts",
            ask("broadcast", "sms", "voice"),
            patient(OptOut(LINE, CELL), phones=(CELL_PHONE,)),
            "voice to cell; sms: sms_opted_out",
        ),
    ),
)
