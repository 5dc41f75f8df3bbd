"""Sign-in and sign-out. Every refusal gets the same answer, so that it does not reveal which names exist."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.users.credentials import Credentials
from store.users.federation import Federation
from store.users.refused_sign_ins import Refusals
from store.users.throttle import AdmitsAttempts
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
BEFORE_REFUSAL = 1.0  # seconds: who sends guesses without end waits for each answer, and takes nothing from senders meanwhile
OVER = "Your session has ended. Sign in again to continue."
UNSAVED = "Your session has ended. What you just sent was not saved. Sign in and do it again."


class SignIn:
    """The pages for signing in, signing out and switching the enterprise."""

    def __init__(
        self,
        users: Users,
        page_access: PageAccess,
        enterprises: Collection[str],
        provider: Provider | None = None,
        throttle: AdmitsAttempts | None = None,
    ) -> None:
        self.refusals = Refusals(users.database, enterprises)
        self.page_access, self.enterprises = page_access, enterprises
        self.credentials = Credentials(users.database, enterprises, self.refusals, throttle)
        self.provider, self.federation = provider, Federation(users.database, enterprises, self.refusals)

    def handlers(self) -> list[HTTPRouteHandler]:
        """The Litestar routes that need no session."""

        async def form(request: Request[Any, Any, Any]) -> ASGIResponse:
            return await self.page_access.lanes.pages.run(self.form, request)

        async def enter(request: Request[Any, Any, Any]) -> ASGIResponse:
            return await self.enter(request, await whole(request))

        handlers = [
            HTTPRouteHandler("/sign-in", http_method="GET", status_code=200)(form),
            HTTPRouteHandler("/sign-in", http_method="POST", status_code=200, request_max_body_size=MOST_BYTES)(enter),
        ]
        return handlers + (OpenIdSignIn(self.provider, self.federation, self.page_access).handlers() if self.provider else [])

    def pages(self) -> tuple[Page, ...]:
        """The pages that need a session."""
        own = OwnPassword(self.credentials, self._title()).pages()
        return Page("POST", "/sign-out", ALL, self.leave), Page("POST", "/enterprise", ALL, self.move), *own

    def form(self, request: Request[Any, Any, Any]) -> ASGIResponse:
        """Shows the form."""
        again = request.query_params.get("again")
        return self._shown(request, UNSAVED if again == "unsaved" else OVER if again else "", 200)

    async def enter(self, request: Request[Any, Any, Any], body: bytes) -> ASGIResponse:
        """Starts a session, or shows the form again. Only the password check itself runs in the threads for passwords."""
        now, lanes = self.page_access.clock(), self.page_access.lanes
        try:
            form: Mapping[str, str] = fields(request, body)
            name, password = form.get("name", ""), form.get("password", "")
            user = await lanes.passwords.run(self.credentials.check, name, password, now, address(request))
            return await lanes.pages.run(self._entered, request, user, now)
        except Exception as error:
            if problem_of(error).status == 429:
                await asyncio.sleep(BEFORE_REFUSAL)
            return await lanes.pages.run(self._failed, request, error, now)

    def _failed(self, request: Request[Any, Any, Any], error: Exception, now: datetime) -> ASGIResponse:
        """The form if the user has to wait; otherwise an error page."""
        problem = problem_of(error)
        if problem.status != 429:
            return self.page_access.failed(request, error, None, now)
        shown = self._shown(request, f"{problem.detail[0].upper()}{problem.detail[1:]}.", 429)
        shown.headers.update(problem.headers)
        return shown

    def _entered(self, request: Request[Any, Any, Any], user: User | None, now: datetime) -> ASGIResponse:
        if user is None:
            return self._shown(request, REFUSED, 403)
        return self.page_access.send(request, Goto("/", self.page_access.sessions.begin(user, self._enterprise(user), now)), None, now)

    def leave(self, visit: Visit) -> Shown | Goto:
        """Ends the session, and the one at the provider if it offers that."""
        self.page_access.sessions.end(visit.secret, visit.now)
        sign_out_url = self.provider.sign_out_url(visit.now) if self.provider and visit.visitor.by_openid else None
        if sign_out_url is None:
            return Goto("/sign-in", "")
        # The link to the provider is on a page: a form must not redirect to another site (form-action).
        values = {"title": "Signed out", "sign_out_url": sign_out_url, "provider": self._title(), "visitor": None}
        return Shown("signed_out.html", values, secret="")

    def move(self, visit: Visit) -> Goto:
        """Switches to another enterprise of the same user."""
        self.page_access.sessions.move(visit.secret, visit.visitor, visit.form.get("enterprise", ""), visit.now)
        return Goto("/")

    def _enterprise(self, user: User) -> str:
        return next(name for name in user.roles if name in self.enterprises)

    def _title(self) -> str:
        return self.provider.settings.title if self.provider else ""

    def _shown(self, request: Request[Any, Any, Any], message: str, status: int) -> ASGIResponse:
        shown = Shown("sign_in.html", {"title": "Sign in", "message": message, "provider": self._title()}, status)
        return self.page_access.send(request, shown, None, self.page_access.clock())
