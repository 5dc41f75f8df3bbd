"""How far a STOP reaches, by policy and by the message that it answered (product section 6)."""

from __future__ import annotations

from typing import NamedTuple

from store.domain.message_class import INFORMATIONAL, MARKETING, UNKNOWN, MessageClass

RECALL, BILLING = "informational, about recall", "informational, about billing"
NOT_STATED = "of a category that is not stated"
MESSAGES = (MARKETING, RECALL, BILLING, NOT_STATED)
OF_MESSAGES = {
    MARKETING: (None, MARKETING),
    RECALL: ("recall", INFORMATIONAL),
    BILLING: ("billing", INFORMATIONAL),
    NOT_STATED: (None, None),
}
"""A message -> its topic and its category, as a sender asks."""


class Revocation(NamedTuple):
    """A reply to a line and what it ends: messages from its line, and from other lines."""

    scope: str
    body: str
    answered: MessageClass
    own: tuple[str, ...]
    others: tuple[str, ...]


ABOUT_RECALL = MessageClass("automation", "recall", INFORMATIONAL)
REVOCATIONS = (
    Revocation("all", "STOP", UNKNOWN, MESSAGES, MESSAGES),
    Revocation("all", "STOP", ABOUT_RECALL, MESSAGES, MESSAGES),
    Revocation("category", "STOP", UNKNOWN, MESSAGES, MESSAGES),
    Revocation("category", "STOP", MessageClass("campaign", "recall"), MESSAGES, MESSAGES),
    Revocation("category", "STOP", MessageClass(category=MARKETING), (MARKETING, NOT_STATED), (MARKETING, NOT_STATED)),
    Revocation("category", "STOP", MessageClass("campaign", "recall", MARKETING), (MARKETING, NOT_STATED), (MARKETING, NOT_STATED)),
    Revocation("category", "STOP", ABOUT_RECALL, (RECALL, NOT_STATED), (RECALL, NOT_STATED)),
    Revocation("category", "STOP", MessageClass(category=INFORMATIONAL), (RECALL, BILLING, NOT_STATED), (RECALL, BILLING, NOT_STATED)),
    Revocation("category", "STOP ALL", ABOUT_RECALL, MESSAGES, MESSAGES),
    Revocation("category", "stop by at noon", ABOUT_RECALL, MESSAGES, MESSAGES),
    Revocation("line", "STOP", UNKNOWN, MESSAGES, ()),
    Revocation("line", "STOP", ABOUT_RECALL, MESSAGES, ()),
    Revocation("line", "STOP", MessageClass(category=MARKETING), MESSAGES, (MARKETING, NOT_STATED)),
    Revocation("line", "STOP ALL", UNKNOWN, MESSAGES, MESSAGES),
)
APPOINTMENTS = (
    ("CANCEL", UNKNOWN, True),
    ("cancel.", MessageClass("automation", "appointment", INFORMATIONAL), True),
    ("Cancel please", UNKNOWN, True),
    ("CANCELAR", UNKNOWN, True),
    ("annuler svp", UNKNOWN, True),
    ("CANCEL", MessageClass(category=MARKETING), False),
    ("STOP", UNKNOWN, False),
    ("cancel texts", UNKNOWN, False),
)
"""An opt-out, what it answered, and whether it may also cancel an appointment."""
