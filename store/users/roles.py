"""What people may be here, and how long their names may be. Pure."""

from __future__ import annotations

from store.domain.lock import Role

ROLES = tuple(role for role in Role if role is not Role.SENDER)
LONGEST_NAME = 100
