"""How far an opt-out by text reaches: by the enterprise's dated policy, and by the message that it answered. Pure (product section 6)."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from store.domain.message_class import MessageClass
from store.domain.policies import ALL, CATEGORY_ONLY, LINE_ONLY, Policy
from store.domain.sms_consent import ALL_LINES, CATEGORY, LINE, OPT_OUT, REVIEW, Recognised


def reach_in_force(policy: Policy, at: datetime, time_zone: str) -> str:
    """The policy's reach for a reply of this time: a narrower one than all only between its two days, in the enterprise's time zone."""
    day = at.astimezone(ZoneInfo(time_zone)).date()
    first, end = policy.revocation_scope_from, policy.revocation_scope_until
    return policy.revocation_scope if (first is None or day >= first) and (end is None or day < end) else ALL


def scoped(reply: Recognised, answered: MessageClass, reach: str) -> Recognised:
    """The reply with the scope that it has under a policy.

    A reply to a message whose category is unknown, and an unclear one, has the widest. A narrower wish is never wider than its line.
    """
    if reply.kind not in (OPT_OUT, REVIEW) or reply.scope != LINE or reach == LINE_ONLY:
        return reply
    is_narrow = reach == CATEGORY_ONLY and reply.kind == OPT_OUT and answered.category is not None
    return reply._replace(scope=CATEGORY if is_narrow else ALL_LINES)
