"""What the engineers' pages share: who may see them, and the runs and sources of one enterprise, never of another."""

from __future__ import annotations

from store.domain.enterprise import Source
from store.domain.lock import Role
from store.errors import NotFound
from store.patients.preferences import Preferences
from store.web.pages.page import Visit

OPERATORS = frozenset({Role.OPERATOR})
RECENT, MOST = 25, 200


def known_source(store: Preferences, visit: Visit) -> Source:
    """The source that the address names. Raises :class:`NotFound` for one that the enterprise does not have."""
    source = store.enterprises[visit.enterprise].source(visit.path["source"])
    if source is None:
        raise NotFound("this enterprise has no such source")
    return source
