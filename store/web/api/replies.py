"""``GET /v1/replies`` and ``POST /v1/replies/{id}/decide``: unclear replies to texts, and people's decisions about them."""

from __future__ import annotations

from collections.abc import Iterable

from store.audit.audit_log import VIEWED_REPLIES, Audit
from store.domain.lock import Role
from store.domain.sms_consent import REVIEW
from store.patients.preferences import Preferences
from store.patients.replies import STATES
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.reply_json import ReplyOut, reply_out
from store.web.api.wire import ReplyDecisionIn, one_of, whole_number

READERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF, Role.AUDITOR})
DECIDERS = frozenset({Role.ENTERPRISE, Role.STAFF})
MOST, AT_ONCE = 1_000, 100
PARAMETERS = {
    "state": "review (default), opt_out, dismissed, appointment or handled",
    "limit": f"maximum number, newest first; up to {MOST}",
}


class RepliesQueue:
    """The endpoints for replies."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.audit = store, Audit(store.database)

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoints."""
        decide = "/v1/replies/{reply_id:str}/decide"
        yield Endpoint("GET", "/v1/replies", READERS, "Replies for review", self.listed, None, list[ReplyOut], PARAMETERS)
        yield Endpoint("POST", decide, DECIDERS, "Decide about a reply that awaits a person", self.decide, ReplyDecisionIn, ReplyOut)

    def listed(self, call: Call) -> ApiResponse:
        """Replies in one state. Their text is the patient's own, so each view is in the audit log."""
        state, limit = one_of(call.query, "state", STATES) or REVIEW, whole_number(call.query, "limit", AT_ONCE, MOST)
        found = self.store.replies.some(call.enterprise, state, limit)
        self.audit.note(call.enterprise, VIEWED_REPLIES, "", actor=call.who, now=call.now, state=state, replies=len(found))
        return ApiResponse([reply_out(one) for one in found])

    def decide(self, call: Call) -> ApiResponse:
        """Records a person's decision."""
        body: ReplyDecisionIn = call.body
        found = self.store.decide_reply(
            call.enterprise, call.path["reply_id"], body.decision, actor=call.actor, reason=body.reason, now=call.now
        )
        return ApiResponse(reply_out(found))
