"""What the operators' pages share: the role, limits, and the look-up of a source in the visitor's enterprise."""

from __future__ import annotations

from store.domain.enterprise import Source
from store.domain.lock import Role
from store.errors import NotFound
from store.patients.preferences import Preferences
from store.web.pages.page import Visit

OPERATORS = frozenset({Role.OPERATOR})
RECENT, MOST = 25, 200


def known_source(store: Preferences, visit: Visit) -> Source:
    """The source named in the URL. Raises :class:`NotFound` if the enterprise does not have it."""
    source = store.enterprises[visit.enterprise].source(visit.path["source"])
    if source is None:
        raise NotFound("this enterprise has no such source")
    return source
