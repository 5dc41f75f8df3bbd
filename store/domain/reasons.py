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
    PATIENT_UNKNOWN: "No patient of this enterprise answers to the identifier.",
    PATIENT_AMBIGUOUS: "Several patients answer to the identifier: name its authority.",
    ASK_INVALID: "This item of a batch is not a well-formed ask; the others are answered.",
    MESSAGE_TYPE_UNKNOWN: "The message type is none of automation, broadcast, campaign, manual.",
    DECEASED: "The patient has died.",
    SOURCE_STALE: "The patient's source has not been heard for longer than its freshness, and the policy is to refuse then.",
    PREFERENCE_UNREADABLE: "Newer evidence about a governing preference could not be read, and the policy is to refuse then.",
    DO_NOT_CONTACT: "The patient must not be contacted by automations.",
    TOPIC_DECLINED: "The patient declined the topic on every channel.",
}
"""Gates: nothing is sent at all."""

SKIPS = {
    NO_COPY: "The message has no copy for this channel.",
    NOT_PREFERRED: "The patient prefers another way of contact, or none.",
    TOPIC_DECLINED: "The patient declined the topic on this channel.",
    SMS_OPTED_OUT: "The patient opted out of texts, by a reply, through staff or in the EMR; or an unclear reply waits for review.",
    VOICE_DENIED: "The patient denied calls, in general or to every number on file.",
    EMAIL_DENIED: "The patient denied e-mail.",
    NO_ADDRESS: "No number or address in its period is on file for this channel.",
    NOT_TEXTABLE: "Numbers are on file, and none of them is known to be a mobile one.",
}
"""One channel is skipped; the next may pass."""

NOTES = {
    PREFERENCE_UNREADABLE: "Newer evidence about a governing preference could not be read, and the policy is to flag it.",
    DO_NOT_CONTACT_LIFTED: "The appointment's own preference lifted the patient's Do Not Contact, as the policy allows.",
    APPOINTMENT_NUMBER: "The number chosen for the appointment could not be used.",
}
"""Beside the channels: what else a sender should know."""

CLIENT = {
    NO_ANSWER: "The service did not answer in a way that can be trusted, so nothing may be sent (said by the sender's own client).",
}
"""Never said by the service."""
