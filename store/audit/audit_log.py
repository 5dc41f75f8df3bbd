"""The audit log: who viewed or changed what, and when. Each enterprise has a chain of its own (``store.audit.hash_chain``).

Statements of an EMR are not repeated here: they are in the patient's history with their evidence. Subjects are opaque ids of patients,
runs, rejections, keys and users.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.audit.hash_chain import Chain, ChainLine, Link
from store.db.database import Database
from store.domain import documents

VIEWED, VIEWED_HISTORY, VIEWED_AS_OF = "viewed_patient", "viewed_history", "viewed_as_of"
SEARCHED, VIEWED_SEARCHES = "searched_patients", "viewed_searches"
VIEWED_RECEIPTS, VIEWED_OPT_OUTS, VIEWED_PAYLOAD = "viewed_receipts", "viewed_opt_outs", "viewed_payload"
SET_DO_NOT_CONTACT, SET_PREFERRED_PHONE = "set_do_not_contact", "set_preferred_phone"
SMS_OPT_OUT, SMS_OPT_IN, SMS_REPLY = "recorded_sms_opt_out", "recorded_sms_opt_in", "sms_reply"
OPTED_OUT, OPTED_IN, EXPORTED_SUPPRESSIONS = "opted_out", "opted_in", "exported_suppressions"
CHANGED_SETTINGS, CREATED_KEY, GRANTED_KEY, REVOKED_KEY = "changed_settings", "created_key", "granted_key", "revoked_key"
DECIDED_REPLY, VIEWED_REPLIES = "decided_reply", "viewed_replies"
VIEWED_WORKLIST, TYPED_IN, NOT_TYPED_IN = "viewed_worklist", "typed_opt_out_into_emr", "took_back_typed_opt_out"
DECIDED_BATCH, LOOKED_IN_VAIN, ASKED_DECISION = "decided_batch", "looked_in_vain", "asked_for_decision"
UNMERGED, CHANGED_USER = "unmerged_patients", "changed_user"
SIGNED_IN, REFUSED_SIGN_IN = "signed_in", "refused_sign_in"
SIGNED_OUT, TIMED_OUT = "signed_out", "timed_out"
CHANGED_PASSWORD, REFUSED_PASSWORD = "changed_password", "refused_password"
ASKED_FOR_RESYNC, REPLAYED, ERASED, RESEALED = "asked_for_resync", "replayed_rejection", "erased_payloads", "resealed_payloads"

SEARCHES = "searches"
"""The subject of every search for patients, so that they are listed together."""
FURTHEST_BACK = 200
"""How many views are read for the patients that somebody viewed last."""
VIEWED_BY = f"""SELECT subject FROM chain_links WHERE enterprise = ? AND chain = ? AND actor = ? AND action = '{VIEWED}'
 ORDER BY number DESC LIMIT ?"""


class Audit:
    """Writes and reads the log."""

    def __init__(self, database: Database) -> None:
        self.chain = Chain(database, "audit")

    def changed(
        self, transaction: Connection, enterprise: str, action: str, subject: str, *, actor: str, now: datetime, **detail: Any
    ) -> None:
        """Records a change in the transaction that makes it, as its last step: both are committed, or neither."""
        self.chain.append(transaction, enterprise, [_line(action, subject, actor, now, detail)])

    def note(self, enterprise: str, action: str, subject: str, *, actor: str, now: datetime, **detail: Any) -> None:
        """Records a view, or an action without a transaction. Call it before anything is shown."""
        self.chain.add(enterprise, [_line(action, subject, actor, now, detail)])

    def recent(self, enterprise: str, actor: str, limit: int) -> list[str]:
        """The patients that somebody viewed last, the newest first, by the store's id."""
        with self.chain.database.read() as connection:
            rows = self.chain.database.select(connection, VIEWED_BY, [enterprise, self.chain.name, actor, FURTHEST_BACK])
        return list(dict.fromkeys(subject for (subject,) in rows))[:limit]

    def newest(self, enterprise: str, subject: str | None = None, limit: int = 100) -> list[Link]:
        """Entries, the newest first."""
        return self.chain.newest(enterprise, subject, limit)


def _line(action: str, subject: str, actor: str, now: datetime, detail: dict[str, Any]) -> ChainLine:
    return ChainLine(now, actor, action, subject, documents.write(detail))
