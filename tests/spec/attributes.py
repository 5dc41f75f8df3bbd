"""The attributes as a table: which value refuses, which source counts, whether sync is needed and whether an EMR locks the attribute."""

from __future__ import annotations

from typing import Any, NamedTuple

from store.preference import Phone

ANY_REFUSAL, FIRST_SOURCE = "a refusal of any", "the first that states one"


class AttributeRow(NamedTuple):
    """``value`` permits (or is any value, if the attribute cannot refuse). ``refuses`` is the refusing value."""

    attribute: str
    value: Any
    refuses: Any
    counts: str
    needs_sync: bool
    locks: bool


ATTRIBUTE_ROWS: tuple[AttributeRow, ...] = (
    AttributeRow("do_not_contact", "no", "yes", ANY_REFUSAL, needs_sync=True, locks=True),
    AttributeRow("preferred_method", "sms", "none", FIRST_SOURCE, needs_sync=True, locks=True),
    AttributeRow("preferred_phone", "+12175550101", None, FIRST_SOURCE, needs_sync=True, locks=True),
    AttributeRow("phones", (Phone("+12175550101", "cell"),), None, FIRST_SOURCE, needs_sync=False, locks=True),
    AttributeRow("email", ("a@example.test",), None, FIRST_SOURCE, needs_sync=False, locks=True),
    AttributeRow("language", "es", None, FIRST_SOURCE, needs_sync=False, locks=True),
    AttributeRow("deceased", False, True, ANY_REFUSAL, needs_sync=False, locks=True),
    AttributeRow("restricted", False, True, ANY_REFUSAL, needs_sync=False, locks=True),
    AttributeRow("active", True, None, FIRST_SOURCE, needs_sync=False, locks=True),
    AttributeRow("display_name", "Ann Example", None, FIRST_SOURCE, needs_sync=False, locks=True),
    AttributeRow("consent.sms", "granted", "denied", ANY_REFUSAL, needs_sync=True, locks=False),
    AttributeRow("consent.sms#+12175550101", "granted", "denied", ANY_REFUSAL, needs_sync=True, locks=False),
    AttributeRow("consent.voice", "granted", "denied", ANY_REFUSAL, needs_sync=True, locks=True),
    AttributeRow("consent.voice#+12175550101", "granted", "denied", ANY_REFUSAL, needs_sync=True, locks=True),
    AttributeRow("consent.email", "granted", "denied", ANY_REFUSAL, needs_sync=True, locks=True),
    AttributeRow("topic.billing.sms", "granted", "denied", ANY_REFUSAL, needs_sync=True, locks=True),
)
