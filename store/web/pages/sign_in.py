"""Signing in and out. One answer for every refusal: it tells nobody which names exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.users.credentials import Credentials
from store.users.federation import Federation
from store.users.refused_sign_ins import Refusals
from store.users.users import User, Users
from store.web.http.body import whole
from store.web.http.problem import problem_of
from store.web.pages.openid import OpenIdSignIn
from store.web.pages.page import Goto, Page, PageAccess, Shown, Visit, address, fields
from store.web.pages.password import ALL as ALL
from store.web.pages.password import OwnPassword
from store.web.pages.provider import Provider

REFUSED = "Wrong name or password, or this user may not sign in. After several failed attempts you have to wait before trying again."
MOST_BYTES = 16 * 1024
OVER = "Your session has ended. Sign in again to continue."


class SignIn:
    """The two addresses that need no session, and what ends one."""

    def __init__(self, users: Users, door: PageAccess, enterprises: Collection[str], provider: Provider | None = None) -> None:
        self.refusals = Refusals(users.database, enterprises)
        self.credentials, self.door, self.enterprises = Credentials(users.database, enterprises, self.refusals), door, enterprises
        self.provider, self.federation = provider, Federation(users.database, enterprises, self.refusals)

    def handlers(self) -> list[HTTPRouteHandler]:
        """The addresses for Litestar."""

        async def form(request: Request[Any, Any, Any]) -> ASGIResponse:
            return await self.door.lanes.pages.run(self.form, request)

        async def enter(request: Request[Any, Any, Any]) -> ASGIResponse:
            return await self.enter(request, await whole(request))

        handlers = [
            HTTPRouteHandler("/sign-in", http_method="GET", status_code=200)(form),
            HTTPRouteHandler("/sign-in", http_method="POST", status_code=200, request_max_body_size=MOST_BYTES)(enter),
        ]
        return handlers + (OpenIdSignIn(self.provider, self.federation, self.door).handlers() if self.provider else [])

    def pages(self) -> tuple[Page, ...]:
        """What a visitor does with their session."""
        own = OwnPassword(self.credentials, self._title()).pages()
        return Page("POST", "/sign-out", ALL, self.leave), Page("POST", "/enterprise", ALL, self.move), *own

    def form(self, request: Request[Any, Any, Any]) -> ASGIResponse:
        """The form."""
        said = OVER if request.query_params.get("again") else ""
        return self._shown(request, said, 200)

    async def enter(self, request: Request[Any, Any, Any], body: bytes) -> ASGIResponse:
        """A session begins, or the form again. Only the password itself is checked in the threads for passwords."""
        now, lanes = self.door.clock(), self.door.lanes
        try:
            given: Mapping[str, str] = fields(request, body)
            name, password = given.get("name", ""), given.get("password", "")
            user = await lanes.passwords.run(self.credentials.check, name, password, now, address(request))
            return await lanes.pages.run(self._entered, request, user, now)
        except Exception as error:
            return await lanes.pages.run(self._failed, request, error, now)

    def _failed(self, request: Request[Any, Any, Any], error: Exception, now: datetime) -> ASGIResponse:
        """Whoever has to wait sees the form; anything else is an error like those of other pages."""
        problem = problem_of(error)
        if problem.status != 429:
            return self.door.failed(request, error, None, now)
        shown = self._shown(request, f"{problem.detail[0].upper()}{problem.detail[1:]}.", 429)
        shown.headers.update(problem.headers)
        return shown

    def _entered(self, request: Request[Any, Any, Any], user: User | None, now: datetime) -> ASGIResponse:
        if user is None:
            return self._shown(request, REFUSED, 403)
        return self.door.send(request, Goto("/", self.door.sessions.begin(user, self._enterprise(user), now)), None, now)

    def leave(self, visit: Visit) -> Shown | Goto:
        """The session ends; where the provider offers it, the one there too."""
        self.door.sessions.end(visit.secret, visit.now)
        farewell = self.provider.farewell(visit.now) if self.provider and visit.visitor.by_openid else None
        if farewell is None:
            return Goto("/sign-in", "")
        # Another site is gone to by a page, not by a redirect: a form may only lead to ours (form-action).
        values = {"title": "Signed out", "farewell": farewell, "provider": self._title(), "visitor": None}
        return Shown("signed_out.html", values, secret="")

    def move(self, visit: Visit) -> Goto:
        """To another enterprise of the same user."""
        self.door.sessions.move(visit.secret, visit.visitor, visit.form.get("enterprise", ""), visit.now)
        return Goto("/")

    def _enterprise(self, user: User) -> str:
        return next(name for name in user.roles if name in self.enterprises)

    def _title(self) -> str:
        return self.provider.settings.title if self.provider else ""

    def _shown(self, request: Request[Any, Any, Any], said: str, status: int) -> ASGIResponse:
        shown = Shown("sign_in.html", {"title": "Sign in", "said": said, "provider": self._title()}, status)
        return self.door.send(request, shown, None, self.door.clock())
