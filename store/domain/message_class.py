"""The class of a message: what kind it is, what it is about, and whether it is marketing. Pure.

47 CFR 64.1200(a)(10) and FCC 26-67 tell marketing from informational messages: an opt-out in reply to the one ends all marketing, one in
reply to the other may be limited to its category (product section 6).
"""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

Category = Literal["marketing", "informational"]
MARKETING: Category = "marketing"
INFORMATIONAL: Category = "informational"
CATEGORIES = get_args(Category)


class MessageClass(Struct, frozen=True, gc=False, omit_defaults=True):
    """The class of a message that was sent, as far as its sender states it; ``None`` is unknown.

    ``message_type``: automation, broadcast, campaign or manual. ``category``: one of :data:`CATEGORIES`.
    """

    message_type: str | None = None
    topic: str | None = None
    category: str | None = None


UNKNOWN = MessageClass()
