"""The administrators' page of API keys: created (shown once), last used, expiry, revoked. The same functions as ``emr-sync keys``."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from datetime import timedelta

from store.domain.lock import Grant, Role
from store.errors import KeyExists, NotFound, StoreError, ValueRefused
from store.users.api_keys import KEY_ROLES, ApiKey, ApiKeys
from store.web.http.problem import problem_of
from store.web.pages.page import Goto, Page, Shown, Visit
from store.web.pages.users import ADMINISTRATORS

DONE = {
    "revoked": "The key was revoked, effective immediately.",
    "repeated": (
        "This form was sent already, and no second key was created. The key was shown once and is not shown again: "
        "if you did not save it, revoke it and create another one."
    ),
}
EXPIRY = {"90": "90 days", "365": "1 year", "": "never"}
"""Days -> the choice in words."""
LONGEST_NAME = 100
DIGITS = 32
"""128 bits of an id: no two forms have the same one."""


class KeyPages:
    """The page and its forms. A visitor sees only the keys of their own enterprise."""

    def __init__(self, keys: ApiKeys) -> None:
        self.keys = keys

    def pages(self) -> Iterable[Page]:
        """The page and its forms."""
        yield Page("GET", "/keys", ADMINISTRATORS, self.show)
        yield Page("POST", "/keys", ADMINISTRATORS, self.create)
        yield Page("POST", "/keys/{key_id:str}/revoke", ADMINISTRATORS, self.revoke)

    def show(self, visit: Visit) -> Shown:
        """Shows the keys."""
        return self._shown(visit)

    def create(self, visit: Visit) -> Shown | Goto:
        """Creates a key, and shows it once. The same form again, as when the page is reloaded, creates nothing."""
        try:
            return self._shown(visit, secret=self._created(visit))
        except KeyExists:
            return Goto("/keys?done=repeated")
        except StoreError as error:
            problem = problem_of(error)
            return self._shown(visit, problem.detail, int(problem.status))

    def _created(self, visit: Visit) -> str:
        """The key that the form asks for."""
        name, role, days = (visit.form.get(field, "") for field in ("name", "role", "expires"))
        grants = [Grant.PATIENTS] if visit.form.get(Grant.PATIENTS) else []
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise ValueRefused(f"the name must be 1 to {LONGEST_NAME} printable characters")
        if days not in EXPIRY:
            raise ValueRefused("the expiry must be one of those offered")
        until = visit.now + timedelta(days=int(days)) if days else None
        actor, number = str(visit.actor), _number(visit)
        return self.keys.create(name, visit.enterprise, role, visit.now, expires=until, grants=grants, by=actor, number=number)[1]

    def revoke(self, visit: Visit) -> Goto:
        """Revokes a key."""
        key = next((one for one in self.keys.list(visit.enterprise) if one.id == visit.path["key_id"]), None)
        if key is None:
            raise NotFound("this enterprise has no such key")
        self.keys.revoke(key.id, visit.now, by=str(visit.actor))
        return Goto("/keys?done=revoked")

    def _shown(self, visit: Visit, refusal: str = "", status: int = 200, secret: str = "") -> Shown:
        found = self.keys.list(visit.enterprise)
        values = {
            "title": "API keys",
            "working": [one for one in found if not _has_ended(one, visit)],
            "ended": [one for one in found if _has_ended(one, visit)],
            "roles": KEY_ROLES,
            "expiry": EXPIRY,
            "longest": LONGEST_NAME,
            "new": secret,
            "form": secrets.token_urlsafe(),
            "sender": Role.SENDER,
            "patients": Grant.PATIENTS,
            "refusal": refusal[:1].upper() + refusal[1:],
            "done": DONE.get(visit.query.get("done", ""), ""),
        }
        return Shown("keys.html", values, status)


def _number(visit: Visit) -> str:
    """The id of the key that this form creates: always the same one for the same form of a session, so that it creates one key only."""
    form = visit.form.get("form", "")
    if not form:
        raise ValueRefused("this form is incomplete: send it again")
    return f"key_{hmac.new(visit.secret.encode(), form.encode(), 'sha256').hexdigest()[:DIGITS]}"


def _has_ended(key: ApiKey, visit: Visit) -> bool:
    return key.revoked is not None or (key.expires is not None and key.expires <= visit.now)
