"""The roles of users, and the maximum length of their names. Pure."""

from __future__ import annotations

from store.domain.lock import Role

ROLES = tuple(role for role in Role if role is not Role.SENDER)
LONGEST_NAME = 100
