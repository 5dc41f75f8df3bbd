"""How an automation follows the preferred method and number, what an appointment changes, and every policy with each value."""

from __future__ import annotations

from store.domain.decision import Appointment
from store.domain.policies import Policy
from store.domain.sms_consent import OptOut
from tests.spec.situation import CELL, CELL_PHONE, HOME, HOME_PHONE, LINE, NEW, SECOND_CELL, SECOND_CELL_PHONE, Case, Table, ask, patient

NEXT = Policy(when_preferred_impossible="next")
REFUSE_STALE = Policy(when_stale="refuse")
FLAG_UNREADABLE = Policy(when_unreadable="flag")
DNC_UNREADABLE = patient(unreadable=("do_not_contact",))
METHOD_UNREADABLE = patient(unreadable=("preferred_method",))
SMS_UNREADABLE = patient(unreadable=("consent.sms",))
MAY_LIFT = Policy(appointment_may_lift_dnc=True)
MAY_LIFT_NEXT = Policy(appointment_may_lift_dnc=True, when_preferred_impossible="next")
ALL_NOT_PREFERRED = "no; sms: not_preferred; voice: not_preferred; email: not_preferred"

METHOD = Table(
    "Automations: preferred method and number",
    "A known method is the only channel (policy `refuse`). Without one: the preferred number, by text or call; then text, call, e-mail.",
    (
        Case("prefers texts", ask(), patient(preferred_method="sms"), "sms to cell"),
        Case("prefers calls", ask(), patient(preferred_method="voice"), "voice to cell; sms: not_preferred"),
        Case("prefers letters", ask(), patient(preferred_method="mail"), ALL_NOT_PREFERRED),
        Case("prefers the portal", ask(), patient(preferred_method="portal"), ALL_NOT_PREFERRED),
        Case("prefers no contact at all", ask(), patient(preferred_method="none"), ALL_NOT_PREFERRED),
        Case("a method that is not known here", ask(), patient(preferred_method="pigeon"), ALL_NOT_PREFERRED),
        Case(
            "prefers texts; the preferred number is not mobile",
            ask(),
            patient(preferred_method="sms", preferred_phone=HOME),
            "sms to cell",
        ),
        Case(
            "prefers calls to the home number",
            ask(),
            patient(preferred_method="voice", preferred_phone=HOME),
            "voice to home; sms: not_preferred",
        ),
        Case(
            "no method; prefers the second cell",
            ask(),
            patient(phones=(CELL_PHONE, SECOND_CELL_PHONE), preferred_phone=SECOND_CELL),
            "sms to second cell",
        ),
        Case("no method; prefers the home number: it is called", ask(), patient(preferred_phone=HOME), "voice to home"),
        Case(
            "no method; prefers the home number; no copy for a call",
            ask("automation", "sms"),
            patient(preferred_phone=HOME),
            "sms to cell; voice: no_copy",
        ),
        Case(
            "no method; prefers the home number, which denies calls",
            ask(),
            patient(preferred_phone=HOME, consents={f"voice#{HOME}": "denied"}),
            "sms to cell",
        ),
        Case("no method; the preferred number is no longer on file", ask(), patient(preferred_phone=NEW), "sms to cell"),
        Case(
            "no method; the preferred number's period has ended",
            ask(),
            patient(phones=(CELL_PHONE, HOME_PHONE._replace(end="2026-01-31")), preferred_phone=HOME),
            "sms to cell",
        ),
        Case(
            "no method; the EMR denies texts to the preferred cell: it is called, and no other number is texted",
            ask(),
            patient(phones=(CELL_PHONE, SECOND_CELL_PHONE), preferred_phone=CELL, consents={f"sms#{CELL}": "denied"}),
            "voice to cell",
        ),
        Case(
            "no method; the EMR denies texts and calls to the preferred cell",
            ask(),
            patient(
                phones=(CELL_PHONE, SECOND_CELL_PHONE),
                preferred_phone=CELL,
                consents={f"sms#{CELL}": "denied", f"voice#{CELL}": "denied"},
            ),
            "sms to second cell",
        ),
        Case(
            "no method; opted out at the preferred cell: it is called",
            ask(),
            patient(OptOut(LINE, CELL), preferred_phone=CELL),
            "voice to cell; sms: sms_opted_out",
        ),
    ),
)

APPOINTMENT = Table(
    "Automations: what an appointment changes",
    "The appointment's method or number replaces the patient's. Broadcasts and campaigns ignore both; a manual message uses the number.",
    (
        Case(
            "prefers texts; the appointment asks for e-mail",
            ask(appointment=Appointment("email")),
            patient(preferred_method="sms"),
            "email to e-mail; sms: not_preferred; voice: not_preferred",
        ),
        Case(
            "prefers no contact; the appointment asks for texts",
            ask(appointment=Appointment("sms")),
            patient(preferred_method="none"),
            "sms to cell",
        ),
        Case(
            "prefers texts; the appointment asks for no contact",
            ask(appointment=Appointment("none")),
            patient(preferred_method="sms"),
            ALL_NOT_PREFERRED,
        ),
        Case(
            "the appointment names the home number",
            ask(appointment=Appointment(None, HOME)),
            patient(preferred_phone=CELL),
            "voice to home",
        ),
        Case(
            "prefers calls; the appointment names the home number",
            ask(appointment=Appointment(None, HOME)),
            patient(preferred_method="voice", preferred_phone=CELL),
            "voice to home; sms: not_preferred",
        ),
        Case(
            "the appointment's number is not on file: it is called, not texted",
            ask(appointment=Appointment(None, NEW)),
            patient(),
            "voice to a number not on file",
        ),
        Case(
            "the appointment asks for texts to a number not on file",
            ask("automation", "sms", appointment=Appointment("sms", NEW)),
            patient(phones=(HOME_PHONE,)),
            "no; sms: not_textable; voice: no_copy; email: no_copy; appointment_number",
        ),
        Case(
            "the appointment's number is on file; its period has ended",
            ask(appointment=Appointment(None, HOME)),
            patient(phones=(CELL_PHONE, HOME_PHONE._replace(end="2026-01-31"))),
            "sms to cell; appointment_number",
        ),
        Case(
            "the appointment's number denies texts; there is copy for texts only",
            ask("automation", "sms", appointment=Appointment("sms", SECOND_CELL)),
            patient(phones=(CELL_PHONE, SECOND_CELL_PHONE), consents={f"sms#{SECOND_CELL}": "denied"}),
            "sms to cell; appointment_number",
        ),
        Case(
            "the appointment's number can be neither texted nor called",
            ask("automation", "sms", "voice", appointment=Appointment(None, HOME)),
            patient(phones=(HOME_PHONE,), consents={f"voice#{HOME}": "denied"}),
            "no; sms: not_textable; voice: voice_denied; email: no_copy; appointment_number",
        ),
        Case("broadcast with an appointment", ask("broadcast", appointment=Appointment("email", HOME)), patient(), "sms to cell"),
        Case(
            "manual message with an appointment",
            ask("manual", "voice", appointment=Appointment("email", HOME)),
            patient(),
            "voice to home; sms: no_copy",
        ),
    ),
)

STOPPED = patient(OptOut(LINE, CELL), preferred_method="sms")
DNC = patient(do_not_contact="yes")
LIFTED = "do_not_contact_lifted"
POLICIES = Table(
    "Policies",
    "Each policy with both values. The first of each pair is the default.",
    (
        Case("`when_stale: flag`; the source is stale", ask(), patient(stale=True), "sms to cell"),
        Case("`when_stale: refuse`; the source is stale", ask(), patient(stale=True), "no; source_stale", REFUSE_STALE),
        Case("`when_stale: refuse`; the source is fresh", ask(), patient(), "sms to cell", REFUSE_STALE),
        Case("`when_unreadable: refuse`; a newer Do Not Contact is unreadable", ask(), DNC_UNREADABLE, "no; preference_unreadable"),
        Case(
            "`when_unreadable: flag`; a newer Do Not Contact is unreadable",
            ask(),
            DNC_UNREADABLE,
            "sms to cell; preference_unreadable",
            FLAG_UNREADABLE,
        ),
        Case("a newer preferred method is unreadable and may be none", ask(), METHOD_UNREADABLE, "no; preference_unreadable"),
        Case("preferred method unreadable; broadcast", ask("broadcast"), METHOD_UNREADABLE, "sms to cell"),
        Case("preferred method unreadable; manual", ask("manual"), METHOD_UNREADABLE, "sms to cell"),
        Case(
            "preferred method unreadable; the appointment has its own",
            ask(appointment=Appointment("sms")),
            METHOD_UNREADABLE,
            "sms to cell",
        ),
        Case(
            "preferred method unreadable; the appointment has only a number",
            ask(appointment=Appointment(None, CELL)),
            METHOD_UNREADABLE,
            "no; preference_unreadable",
        ),
        Case("Do Not Contact unreadable; broadcast", ask("broadcast"), DNC_UNREADABLE, "sms to cell"),
        Case("a newer SMS consent is unreadable; broadcast", ask("broadcast"), SMS_UNREADABLE, "no; preference_unreadable"),
        Case(
            "a newer SMS consent is unreadable; copy for a call only",
            ask("broadcast", "voice"),
            SMS_UNREADABLE,
            "voice to cell; sms: no_copy",
        ),
        Case(
            "`when_preferred_impossible: refuse`; prefers texts and opted out of them",
            ask(),
            STOPPED,
            "no; sms: sms_opted_out; voice: not_preferred; email: not_preferred",
        ),
        Case(
            "`when_preferred_impossible: next`; prefers texts and opted out of them",
            ask(),
            STOPPED,
            "voice to cell; sms: sms_opted_out",
            NEXT,
        ),
        Case(
            "`when_preferred_impossible: refuse`; prefers e-mail; no copy for it",
            ask("automation", "sms"),
            patient(preferred_method="email"),
            "no; sms: not_preferred; voice: no_copy; email: no_copy",
        ),
        Case(
            "`when_preferred_impossible: next`; prefers e-mail; no copy for it",
            ask("automation", "sms"),
            patient(preferred_method="email"),
            "sms to cell; email: no_copy",
            NEXT,
        ),
        Case("`when_preferred_impossible: next`; prefers letters", ask(), patient(preferred_method="mail"), "sms to cell", NEXT),
        Case(
            "`when_preferred_impossible: next`; prefers no contact at all: still refused",
            ask(),
            patient(preferred_method="none"),
            ALL_NOT_PREFERRED,
            NEXT,
        ),
        Case(
            "`appointment_may_lift_dnc: false`; Do Not Contact; the appointment asks for texts",
            ask(appointment=Appointment("sms")),
            DNC,
            "no; do_not_contact",
        ),
        Case(
            "`appointment_may_lift_dnc: true`; Do Not Contact; the appointment asks for texts",
            ask(appointment=Appointment("sms")),
            DNC,
            f"sms to cell; {LIFTED}",
            MAY_LIFT,
        ),
        Case("`appointment_may_lift_dnc: true`; Do Not Contact; no appointment", ask(), DNC, "no; do_not_contact", MAY_LIFT),
        Case(
            "`appointment_may_lift_dnc: true`; the appointment asks for no contact",
            ask(appointment=Appointment("none", CELL)),
            DNC,
            "no; do_not_contact",
            MAY_LIFT,
        ),
        Case(
            "`appointment_may_lift_dnc: true`; the appointment asks for letters",
            ask(appointment=Appointment("mail")),
            DNC,
            "no; do_not_contact",
            MAY_LIFT,
        ),
        Case(
            "`appointment_may_lift_dnc: true`; the appointment names a number: only that number is used",
            ask(appointment=Appointment(None, HOME)),
            DNC,
            f"voice to home; {LIFTED}",
            MAY_LIFT,
        ),
        Case(
            "`appointment_may_lift_dnc: true`; the number cannot be used, and e-mail was not lifted",
            ask("automation", "sms", "email", appointment=Appointment(None, HOME)),
            DNC,
            "no; voice: no_copy; sms: not_textable; email: not_preferred; appointment_number",
            MAY_LIFT,
        ),
        Case(
            "`appointment_may_lift_dnc: true`; texts lifted and opted out: no next channel, whatever the policy",
            ask(appointment=Appointment("sms")),
            patient(OptOut(LINE, CELL), do_not_contact="yes"),
            "no; sms: sms_opted_out; voice: not_preferred; email: not_preferred",
            MAY_LIFT_NEXT,
        ),
        Case(
            "`appointment_may_lift_dnc: true`; the patient prefers e-mail; the appointment names a number",
            ask(appointment=Appointment(None, CELL)),
            patient(do_not_contact="yes", preferred_method="email"),
            ALL_NOT_PREFERRED,
            MAY_LIFT,
        ),
        Case(
            "`appointment_may_lift_dnc: true`; the appointment asks for e-mail and names a number",
            ask(appointment=Appointment("email", HOME)),
            DNC,
            f"email to e-mail; sms: not_preferred; voice: not_preferred; {LIFTED}",
            MAY_LIFT,
        ),
    ),
)
