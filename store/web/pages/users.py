"""The administrators' page of users: who may sign in to this enterprise, in which role. The same functions as ``emr-sync users``.

A user may also belong to other enterprises, and has one password for all of them. So only somebody who administers them all, on the
command line, resets or disables such a user.
"""

from __future__ import annotations

from collections.abc import Iterable

from store.domain.lock import Role
from store.errors import NotFound, StoreError, ValueRefused
from store.users.roles import LONGEST_NAME, ROLES
from store.users.users import User, Users
from store.web.http.problem import problem_of
from store.web.pages.page import Goto, Page, Shown, Visit

ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})
DONE = {
    "role": "The role was changed, effective immediately.",
    "disabled": "The user was disabled and signed out everywhere.",
    "reset": "The user is enabled and signs in at the identity provider.",
}
ELSEWHERE = "this user also belongs to another enterprise: use emr-sync users on the server"
OWN = "this is your own account: ask another administrator"


class UserPages:
    """The page and its forms. A visitor sees only the users of their own enterprise."""

    def __init__(self, users: Users) -> None:
        self.users = users

    def pages(self) -> Iterable[Page]:
        """The page and its forms."""
        yield Page("GET", "/users", ADMINISTRATORS, self.show)
        yield Page("POST", "/users", ADMINISTRATORS, self.add, hashes=True)
        yield Page("POST", "/users/{user_id:str}/role", ADMINISTRATORS, self.change_role)
        yield Page("POST", "/users/{user_id:str}/disable", ADMINISTRATORS, self.disable)
        yield Page("POST", "/users/{user_id:str}/reset", ADMINISTRATORS, self.reset, hashes=True)

    def show(self, visit: Visit) -> Shown:
        """Shows the users."""
        return self._shown(visit)

    def add(self, visit: Visit) -> Shown:
        """Adds a user, and shows the first password once."""
        name, role = visit.form.get("name", ""), visit.form.get("role", "")
        try:
            added = self.users.add(name, visit.enterprise, role, visit.now, by=str(visit.actor), provisional=True, is_new=True)
        except StoreError as error:
            return self._refused(visit, error)
        return self._shown(visit, new=added)

    def change_role(self, visit: Visit) -> Shown | Goto:
        """Gives a user another role in this enterprise."""
        user = self._user(visit)
        try:
            _check_not_own(visit, user)
            self.users.add(user.name, visit.enterprise, visit.form.get("role", ""), visit.now, by=str(visit.actor))
        except StoreError as error:
            return self._refused(visit, error)
        return Goto("/users?done=role")

    def disable(self, visit: Visit) -> Shown | Goto:
        """Disables a user and ends their sessions."""
        user = self._user(visit)
        try:
            _check_only_here(visit, user)
            self.users.disable(user.name, visit.now, by=str(visit.actor))
        except StoreError as error:
            return self._refused(visit, error)
        return Goto("/users?done=disabled")

    def reset(self, visit: Visit) -> Shown | Goto:
        """Sets a new first password, shown once, and enables the user again."""
        user = self._user(visit)
        try:
            _check_only_here(visit, user)
            found, password = self.users.reset(user.name, visit.now, by=str(visit.actor))
        except StoreError as error:
            return self._refused(visit, error)
        return self._shown(visit, new=(found, password)) if password else Goto("/users?done=reset")

    def _user(self, visit: Visit) -> User:
        """The user named in the URL. Raises :class:`NotFound` if the enterprise does not have them."""
        found = next((one for one in self.users.list(visit.enterprise) if one.id == visit.path["user_id"]), None)
        if found is None:
            raise NotFound("this enterprise has no such user")
        return found

    def _refused(self, visit: Visit, error: StoreError) -> Shown:
        problem = problem_of(error)
        return self._shown(visit, problem.detail, int(problem.status))

    def _shown(self, visit: Visit, refusal: str = "", status: int = 200, new: tuple[User, str | None] | None = None) -> Shown:
        users = self.users.list(visit.enterprise)
        values = {
            "title": "Users",
            "users": sorted(users, key=lambda one: (one.disabled is not None, one.name.casefold())),
            "only_here": {one.id for one in users if set(one.roles) == {visit.enterprise}},
            "roles": ROLES,
            "new": new,
            "longest": LONGEST_NAME,
            "refusal": refusal[:1].upper() + refusal[1:],
            "done": DONE.get(visit.query.get("done", ""), ""),
        }
        return Shown("users.html", values, status)


def _check_not_own(visit: Visit, user: User) -> None:
    """Nobody locks themselves out, and nobody is the only one who knows of a change to their own account."""
    if user.name == visit.visitor.name:
        raise ValueRefused(OWN)


def _check_only_here(visit: Visit, user: User) -> None:
    _check_not_own(visit, user)
    if set(user.roles) != {visit.enterprise}:
        raise ValueRefused(ELSEWHERE)
