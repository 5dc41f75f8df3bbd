"""What the operators' pages share: the role, limits, and the look-up of a source or rejection in the visitor's enterprise."""

from __future__ import annotations

from store.domain.enterprise import Source
from store.domain.lock import Role
from store.errors import NotFound
from store.patients.preferences import Preferences
from store.runs.runs import Journal, Rejection
from store.web.pages.page import Visit

OPERATORS = frozenset({Role.OPERATOR})
RECENT, MOST = 25, 200


def known_source(store: Preferences, visit: Visit) -> Source:
    """The source named in the URL. Raises :class:`NotFound` if the enterprise does not have it."""
    source = store.enterprises[visit.enterprise].source(visit.path["source"])
    if source is None:
        raise NotFound("this enterprise has no such source")
    return source


def own_rejection(journal: Journal, visit: Visit) -> Rejection:
    """The rejection named in the URL, without its payload. Raises :class:`NotFound` if the enterprise does not have it."""
    one = journal.rejection_store.summary(visit.path["rejection_id"])
    if one.enterprise != visit.enterprise:
        raise NotFound("this enterprise has no such rejection")
    return one
