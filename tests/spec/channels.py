"""Checks of the whole message, and the reasons why a channel is skipped (product section 7)."""

from __future__ import annotations

from store.domain.decision import DecisionRequest
from store.domain.sms_consent import OptOut
from tests.spec.situation import (
    CELL,
    CELL_PHONE,
    HOME,
    HOME_PHONE,
    LINE,
    NEW,
    NOW,
    OTHER_LINE,
    SECOND_CELL,
    SECOND_CELL_PHONE,
    WORK_PHONE,
    Case,
    Table,
    ask,
    patient,
)

MESSAGE_CHECKS = Table(
    "Checks of the whole message",
    "They are made in this order. The first that matches refuses the whole message.",
    (
        Case("no patient of the enterprise has the identifier", ask(), None, "no; patient_unknown"),
        Case("a message type that is not in the contract", ask("newsletter"), patient(), "no; message_type_unknown"),
        Case("the patient has died (automation)", ask(), patient(deceased=True), "no; deceased"),
        Case("the patient has died (manual)", ask("manual"), patient(deceased=True), "no; deceased"),
        Case(
            "the patient has died and Do Not Contact is yes: the first check counts",
            ask(),
            patient(deceased=True, do_not_contact="yes"),
            "no; deceased",
        ),
        Case("Do Not Contact is yes (automation)", ask(), patient(do_not_contact="yes"), "no; do_not_contact"),
        Case("Do Not Contact is unknown", ask(), patient(), "sms to cell"),
        Case("Do Not Contact has the value no", ask(), patient(do_not_contact="no"), "sms to cell"),
        Case("a restricted (VIP) record: no rule refuses the message", ask(), patient(restricted=True), "sms to cell"),
        Case("an inactive record: no rule refuses the message", ask(), patient(active=False), "sms to cell"),
    ),
)

TEXTS_DENIED = {"sms": "denied"}
SKIPS = Table(
    "Why a channel is skipped",
    "The order is text, call, e-mail. The first channel without an obstacle is used, and the skipped ones are listed.",
    (
        Case("no copy for a text", ask("broadcast", "voice"), patient(), "voice to cell; sms: no_copy"),
        Case(
            "no copy at all",
            DecisionRequest(message_type="broadcast", channels=()),
            patient(),
            "no; sms: no_copy; voice: no_copy; email: no_copy",
        ),
        Case("no phone on file", ask("broadcast"), patient(phones=()), "email to e-mail; sms: no_address; voice: no_address"),
        Case("no e-mail on file", ask("broadcast", "email"), patient(emails=()), "no; sms: no_copy; voice: no_copy; email: no_address"),
        Case(
            "two e-mail addresses: the first is used",
            ask("manual", "email"),
            patient(emails=("pat@example.test", "second@example.test")),
            "email to e-mail; sms: no_copy; voice: no_copy",
        ),
        Case("only a home phone", ask("broadcast"), patient(phones=(HOME_PHONE,)), "voice to home; sms: not_textable"),
        Case(
            "a cell phone that is not known to be mobile",
            ask("broadcast"),
            patient(phones=(CELL_PHONE._replace(textable=False),)),
            "voice to cell; sms: not_textable",
        ),
        Case("the EMR denies texts to this patient", ask("broadcast"), patient(consents=TEXTS_DENIED), "voice to cell; sms: sms_opted_out"),
        Case(
            "the EMR grants texts; the patient texted STOP",
            ask("broadcast"),
            patient(OptOut(LINE, CELL), consents={"sms": "granted"}),
            "voice to cell; sms: sms_opted_out",
        ),
        Case("text consent is unknown", ask("broadcast"), patient(consents={"voice": "granted"}), "sms to cell"),
        Case(
            "the EMR denies calls",
            ask("broadcast", "voice", "email"),
            patient(consents={"voice": "denied"}),
            "email to e-mail; sms: no_copy; voice: voice_denied",
        ),
        Case(
            "the EMR denies e-mail",
            ask("broadcast", "email"),
            patient(consents={"email": "denied"}),
            "no; sms: no_copy; voice: no_copy; email: email_denied",
        ),
        Case(
            "declined the topic for texts only",
            ask(topic="billing"),
            patient(topics={"billing.sms": "denied"}),
            "voice to cell; sms: topic_declined",
        ),
        Case("declined another topic", ask(topic="recall"), patient(topics={"billing.sms": "denied"}), "sms to cell"),
        Case("declined a topic; the request names none", ask(), patient(topics={"billing.sms": "denied"}), "sms to cell"),
        Case(
            "an automation; prefers calls; there is copy for a text",
            ask(),
            patient(preferred_method="voice"),
            "voice to cell; sms: not_preferred",
        ),
    ),
)

NUMBERS = Table(
    "Which number",
    "For a text: the preferred number if textable, else the best-ranked textable one. For a call: preferred, cell, home, work, other.",
    (
        Case(
            "two cell phones, the second ranked first",
            ask("broadcast"),
            patient(phones=(CELL_PHONE._replace(rank=2), SECOND_CELL_PHONE._replace(rank=1))),
            "sms to second cell",
        ),
        Case(
            "two cell phones, only the second ranked",
            ask("broadcast"),
            patient(phones=(CELL_PHONE._replace(rank=None), SECOND_CELL_PHONE)),
            "sms to second cell",
        ),
        Case(
            "call: home listed before cell",
            ask("broadcast", "voice"),
            patient(phones=(HOME_PHONE, CELL_PHONE)),
            "voice to cell; sms: no_copy",
        ),
        Case(
            "call: work listed before home",
            ask("broadcast", "voice"),
            patient(phones=(WORK_PHONE, HOME_PHONE)),
            "voice to home; sms: no_copy",
        ),
        Case(
            "call: the preferred number comes first", ask("manual", "voice"), patient(preferred_phone=HOME), "voice to home; sms: no_copy"
        ),
        Case(
            "broadcasts ignore the preferred number",
            ask("broadcast", "voice"),
            patient(preferred_phone=HOME),
            "voice to cell; sms: no_copy",
        ),
        Case("manual: the preferred number is not mobile", ask("manual"), patient(preferred_phone=HOME), "sms to cell"),
        Case(
            "the cell phone's period has ended",
            ask("broadcast"),
            patient(phones=(CELL_PHONE._replace(end="2026-11-01"), HOME_PHONE)),
            "voice to home; sms: not_textable",
        ),
        Case("the last day of its period", ask("broadcast"), patient(phones=(CELL_PHONE._replace(end="2026-11-02"),)), "sms to cell"),
        Case("its period ends this month", ask("broadcast"), patient(phones=(CELL_PHONE._replace(end="2026-11"),)), "sms to cell"),
        Case(
            "its period begins tomorrow",
            ask("broadcast"),
            patient(phones=(CELL_PHONE._replace(start="2026-11-03"),)),
            "email to e-mail; sms: no_address; voice: no_address",
        ),
        Case(
            "its period begins before the message is sent",
            ask("broadcast", at=NOW.replace(day=4)),
            patient(phones=(CELL_PHONE._replace(start="2026-11-03"),)),
            "sms to cell",
        ),
    ),
)

TWO_CELLS = (CELL_PHONE, SECOND_CELL_PHONE)
CONSENT = Table(
    "SMS consent, line by line",
    "Consent is held per line and number. If the request leaves something open, the answer is the one that sends less.",
    (
        Case("STOP on this line", ask("manual"), patient(OptOut(LINE, CELL)), "voice to cell; sms: sms_opted_out"),
        Case("STOP on another line", ask("manual"), patient(OptOut(OTHER_LINE, CELL)), "sms to cell"),
        Case(
            "STOP on another line; the request names no line",
            ask("manual", line=None),
            patient(OptOut(OTHER_LINE, CELL)),
            "voice to cell; sms: sms_opted_out",
        ),
        Case("STOP ALL on another line", ask("manual"), patient(OptOut(None, CELL, "all_lines")), "voice to cell; sms: sms_opted_out"),
        Case(
            "STOP ALL, then START on this line",
            ask("manual"),
            patient(OptOut(None, CELL, "all_lines", except_lines=(LINE,))),
            "sms to cell",
        ),
        Case(
            "STOP ALL, then START on another line",
            ask("manual"),
            patient(OptOut(None, CELL, "all_lines", except_lines=(OTHER_LINE,))),
            "voice to cell; sms: sms_opted_out",
        ),
        Case(
            "staff recorded an opt-out for all lines",
            ask("manual"),
            patient(OptOut(None, CELL, "all_lines", authority="staff")),
            "voice to cell; sms: sms_opted_out",
        ),
        Case(
            "opted out of the message's topic",
            ask("manual", topic="recall"),
            patient(OptOut(LINE, CELL, "topic", "recall")),
            "voice to cell; sms: sms_opted_out",
        ),
        Case("opted out of another topic", ask("manual", topic="billing"), patient(OptOut(LINE, CELL, "topic", "recall")), "sms to cell"),
        Case(
            "opted out of one topic; the request names none",
            ask("manual"),
            patient(OptOut(LINE, CELL, "topic", "recall")),
            "voice to cell; sms: sms_opted_out",
        ),
        Case(
            "STOP from one of two cell phones: neither is texted",
            ask("manual"),
            patient(OptOut(LINE, SECOND_CELL), phones=TWO_CELLS),
            "voice to cell; sms: sms_opted_out",
        ),
        Case(
            "STOP from a number that is no longer on file: it still counts",
            ask("manual"),
            patient(OptOut(LINE, NEW)),
            "voice to cell; sms: sms_opted_out",
        ),
        Case(
            "the EMR denies texts to one of two cell phones: the other is texted",
            ask("manual"),
            patient(phones=TWO_CELLS, consents={f"sms#{CELL}": "denied"}),
            "sms to second cell",
        ),
        Case(
            "the EMR denies texts to the only cell phone",
            ask("manual"),
            patient(consents={f"sms#{CELL}": "denied"}),
            "voice to cell; sms: sms_opted_out",
        ),
        Case(
            "the EMR denies texts to the patient and grants them for the number",
            ask("manual"),
            patient(consents={"sms": "denied", f"sms#{CELL}": "granted"}),
            "voice to cell; sms: sms_opted_out",
        ),
        Case(
            "the EMR denies calls to the cell phone",
            ask("manual", "voice"),
            patient(consents={f"voice#{CELL}": "denied"}),
            "voice to home; sms: no_copy",
        ),
        Case(
            "the EMR denies calls to every number",
            ask("manual", "voice"),
            patient(consents={f"voice#{CELL}": "denied", f"voice#{HOME}": "denied"}),
            "no; sms: no_copy; voice: voice_denied; email: no_copy",
        ),
    ),
)
