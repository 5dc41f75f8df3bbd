"""Lines of the audit log about users: who came in, who did not, who was changed.

Each stands in the chain of every enterprise that it concerns. A name that nobody here has is written nowhere: people type passwords
and patients' names into the wrong field.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.database import Database
from store.proof.audit import Audit

STRANGER = "stranger"
"""Who did it, when nobody has shown who they are."""
UNKNOWN_NAME, DISABLED, WRONG_PASSWORD, NO_ROLE = "unknown_name", "disabled", "wrong_password", "no_role"
ELSEWHERE = "signs_in_elsewhere"


class UserLog:
    """Writes the lines, inside the transaction of what they tell about."""

    def __init__(self, database: Database) -> None:
        self.audit = Audit(database)

    def note(
        self,
        transaction: Connection,
        enterprises: Iterable[str],
        action: str,
        user: str,
        *,
        actor: str,
        now: datetime,
        **detail: Any,
    ) -> None:
        """One line per enterprise, always in the same order, so that no two writers wait for each other. ``user``: an id, or empty."""
        for enterprise in sorted(set(enterprises)):
            self.audit.changed(transaction, enterprise, action, user, actor=actor, now=now, **detail)
