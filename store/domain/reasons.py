"""Why a decision came out as it did: stable codes, each with the sentence a person reads.

The codes are part of the contract with senders: one is added, never renamed. ``docs/decision-rules.md`` is rendered from here.
"""

from __future__ import annotations

PATIENT_UNKNOWN = "patient_unknown"
PATIENT_AMBIGUOUS = "patient_ambiguous"
ASK_INVALID = "ask_invalid"
MESSAGE_TYPE_UNKNOWN = "message_type_unknown"
DECEASED = "deceased"
SOURCE_STALE = "source_stale"
PREFERENCE_UNREADABLE = "preference_unreadable"
DO_NOT_CONTACT = "do_not_contact"
DO_NOT_CONTACT_LIFTED = "do_not_contact_lifted"
TOPIC_DECLINED = "topic_declined"
NO_COPY = "no_copy"
NOT_PREFERRED = "not_preferred"
SMS_OPTED_OUT = "sms_opted_out"
VOICE_DENIED = "voice_denied"
EMAIL_DENIED = "email_denied"
NO_ADDRESS = "no_address"
NOT_TEXTABLE = "not_textable"
APPOINTMENT_NUMBER = "appointment_number"
NO_ANSWER = "no_answer"

REFUSALS = {
    PATIENT_UNKNOWN: "No patient of this enterprise has the identifier.",
    PATIENT_AMBIGUOUS: "Several patients have the identifier. Specify its authority.",
    ASK_INVALID: "This item of the batch is not a valid request. The other items are answered.",
    MESSAGE_TYPE_UNKNOWN: "The message type is not one of automation, broadcast, campaign, manual.",
    DECEASED: "The patient has died.",
    SOURCE_STALE: "The data from the patient's source is stale (older than freshness allows), and the policy is to refuse.",
    PREFERENCE_UNREADABLE: "Newer evidence about a preference that applies could not be read, and the policy is to refuse.",
    DO_NOT_CONTACT: "The patient must not be contacted by automations.",
    TOPIC_DECLINED: "The patient declined the topic on every channel.",
}
"""Of checks of the whole message: nothing is sent at all."""

BY_CONSENT = {
    SMS_OPTED_OUT: "The patient opted out of texts by a reply, through staff or in the EMR, or an unclear reply awaits review.",
    VOICE_DENIED: "The patient denied calls, in general or to every number on file, or opted out of calls.",
    EMAIL_DENIED: "The patient denied e-mail or unsubscribed from it.",
}
"""The patient, or the EMR for them, closed a channel. The evidence has who did."""

UNREACHABLE = {
    NO_ADDRESS: "No currently valid number or address is on file for this channel.",
    NOT_TEXTABLE: "None of the numbers on file is known to be a mobile number.",
}
"""Nobody refused: there is nothing to send to. The evidence has the numbers or addresses, and no suppression list has any of them."""

SKIPS = {
    NO_COPY: "The message has no text for this channel.",
    NOT_PREFERRED: (
        "The patient or the appointment chose another contact method, or none, and the settings allow no other;"
        " or the appointment that lifts Do Not Contact named another."
    ),
    TOPIC_DECLINED: "The patient declined the topic on this channel.",
    **BY_CONSENT,
    **UNREACHABLE,
}
"""One channel is skipped; the next may pass."""

NOTES = {
    PREFERENCE_UNREADABLE: "Newer evidence about a preference that applies could not be read, and the policy is to flag it.",
    DO_NOT_CONTACT_LIFTED: "The appointment's own preference overrides the patient's Do Not Contact, as the policy allows.",
    APPOINTMENT_NUMBER: "The number chosen for the appointment could not be used.",
}
"""Beside the channels: what else a sender should know."""

CLIENT = {
    NO_ANSWER: "The sender's client got no reliable answer from the service, so nothing may be sent.",
}
"""Set by the sender's own client, never by the service."""
