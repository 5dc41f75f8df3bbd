"""The page where users change their own password."""

from __future__ import annotations

from collections.abc import Iterable

from store.domain.lock import Role
from store.errors import ValueRefused
from store.users.credentials import Credentials
from store.users.passwords import SHORTEST
from store.web.pages.page import Goto, Page, Shown, Visit

ALL = frozenset(Role)
DONE = "Your password was changed. All other sessions were signed out."


class OwnPassword:
    """The page and its form."""

    def __init__(self, credentials: Credentials, provider: str = "") -> None:
        self.credentials, self.provider = credentials, provider

    def pages(self) -> Iterable[Page]:
        """The page and its form, for every signed-in user."""
        return Page("GET", "/password", ALL, self.show), Page("POST", "/password", ALL, self.change, hashes=True)

    def show(self, visit: Visit) -> Shown:
        """Shows the form; for a user without a password here, where to change theirs."""
        return self._shown("", 200, DONE if visit.query.get("done") else "")

    def change(self, visit: Visit) -> Shown | Goto:
        """Changes the password, or shows the form with the reason why not."""
        current, new, again = (visit.form.get(name, "") for name in ("current", "new", "again"))
        if new != again:
            return self._shown("The two new passwords do not match.", 422)
        try:
            self.credentials.change(visit.visitor.name, current, new, session=visit.secret, now=visit.now, address=visit.address)
        except ValueRefused as refused:
            return self._shown(str(refused), 422)
        return Goto("/password?done=1")

    def _shown(self, refusal: str, status: int, done: str = "") -> Shown:
        values = {"title": "Your password", "refusal": refusal, "done": done, "shortest": SHORTEST, "provider": self.provider}
        return Shown("password.html", values, status)
