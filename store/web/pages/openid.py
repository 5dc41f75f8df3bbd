"""Sign-in with OpenID Connect: the redirect to the provider, the callback, and the page for a refused sign-in.

Only the browser that started a sign-in can complete it: it has the sign-in's secret in a cookie, and the state that the provider returns is
derived from the secret. So a link cannot sign anybody in as somebody else.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.users.federation import NAME_TAKEN, NO_NAME, REPLAYED, Federation
from store.users.openid import provider_identity
from store.users.sessions import digest
from store.users.users import DISABLED, NO_ROLE, User
from store.web.pages.page import HTML, STRICT, PageAccess, Shown, cookie, under_tls
from store.web.pages.provider import CODE_REFUSED, NO_PROVIDER, STATE, TOKEN_INVALID, UNREACHABLE, Provider, ProviderFailed, derived

PENDING, PENDING_TLS = "emr_sync_sign_in", "__Host-emr_sync_sign_in"
LONGEST_SECONDS = 600
AT_ONCE = 2
"""How many sign-ins may wait for the provider at once, so that a slow provider does not occupy all threads for pages."""
NOT_BEGUN, NOT_FINISHED = "not_begun", "not_finished"
MESSAGES = {
    NOT_BEGUN: "This sign-in was started in another browser or has expired. Start again.",
    NOT_FINISHED: "The sign-in was not completed at the identity provider. Start again.",
    REPLAYED: "This sign-in was already used. Start again.",
    UNREACHABLE: "The identity provider does not respond. Try again later.",
    NO_PROVIDER: "The identity provider does not match the configuration of this service. Contact an administrator.",
    CODE_REFUSED: "The identity provider did not confirm your identity. Start again.",
    TOKEN_INVALID: "The identity provider's token could not be verified. Contact an administrator.",
    NO_NAME: "The identity provider did not send a usable user name.",
    NAME_TAKEN: "Your user name is already taken here. An administrator can assign it to you: emr-sync users reset --with openid.",
    NO_ROLE: "You were identified but have no role here. Ask the administrator of your account to add you to a group with a role.",
    DISABLED: "You were identified but your account is disabled here. An administrator can enable it.",
}
STATUS = {UNREACHABLE: 503, NO_PROVIDER: 502}
log = logging.getLogger("emr_sync.web")
Answer = Callable[[Request[Any, Any, Any], datetime], ASGIResponse]


class OpenIdSignIn:
    """The two endpoints."""

    def __init__(self, provider: Provider, federation: Federation, page_access: PageAccess) -> None:
        self.provider, self.federation, self.page_access = provider, federation, page_access
        self._slots = asyncio.Semaphore(AT_ONCE)

    def handlers(self) -> list[HTTPRouteHandler]:
        """The Litestar routes."""
        return [self._handler("/sign-in/openid", self.begin), self._handler("/sign-in/openid/done", self.done)]

    def begin(self, request: Request[Any, Any, Any], now: datetime) -> ASGIResponse:
        """Redirects to the provider."""
        secret = f"{secrets.token_urlsafe(32)}.{int(now.timestamp())}"
        return _redirect(self.provider.begin(secret, now), _pending(request, secret))

    def done(self, request: Request[Any, Any, Any], now: datetime) -> ASGIResponse:
        """The provider's callback: starts a session."""
        secret, query = request.cookies.get(_name(request), ""), request.query_params
        if not _is_started(secret, query.get("state", ""), now):
            raise ProviderFailed(NOT_BEGUN)
        if query.get("iss", self.provider.settings.issuer) != self.provider.settings.issuer:  # RFC 9207
            raise ProviderFailed(NOT_BEGUN)
        if not query.get("code"):
            raise ProviderFailed(NOT_FINISHED)
        user = self._admitted(secret, query["code"], now)
        session = self.page_access.sessions.begin(user, self._enterprise(user), now)
        return _redirect("/", _pending(request, ""), cookie(request, session))

    def _admitted(self, secret: str, code: str, now: datetime) -> User:
        try:
            claims = self.provider.finish(secret, code, now)
        except ProviderFailed as failed:
            if failed.why in (CODE_REFUSED, TOKEN_INVALID):
                self.federation.refuse(failed.why, now)
            raise
        entry = self.federation.admit(provider_identity(claims, self.provider.settings), digest(secret), now)
        if entry.user is None:
            raise ProviderFailed(entry.why)
        return entry.user

    def _enterprise(self, user: User) -> str:
        return next(rule.enterprise for rule in self.provider.settings.roles if rule.enterprise in user.roles)

    def _handler(self, path: str, answer: Answer) -> HTTPRouteHandler:
        async def handle(request: Request[Any, Any, Any]) -> ASGIResponse:
            async with self._slots:
                return await self.page_access.lanes.pages.run(self._answered, answer, request)

        return HTTPRouteHandler(path, http_method="GET", status_code=200)(handle)

    def _answered(self, answer: Answer, request: Request[Any, Any, Any]) -> ASGIResponse:
        now = self.page_access.clock()
        try:
            return answer(request, now)
        except ProviderFailed as failed:
            return self._refused(request, failed.why, now)
        except Exception as error:
            return self.page_access.failed(request, error, None, now)

    def _refused(self, request: Request[Any, Any, Any], why: str, now: datetime) -> ASGIResponse:
        """A page with the reason of the refusal and what to do next."""
        log.warning("sign-in by OpenID Connect refused: %s", why)
        values: Mapping[str, Any] = {
            "title": "Access denied",
            "message": MESSAGES[why],
            "provider": self.provider.settings.title,
            "sign_out_url": self.provider.sign_out_url(now) if why in (NO_ROLE, NO_NAME, NAME_TAKEN, DISABLED) else None,
        }
        return self.page_access.send(request, Shown("no_entry.html", values, STATUS.get(why, 403)), None, now)


def _is_started(secret: str, state: str, now: datetime) -> bool:
    """Whether this browser started the sign-in, recently enough."""
    started = secret.rpartition(".")[2]
    if not (started.isascii() and started.isdigit() and 0 <= now.timestamp() - int(started) <= LONGEST_SECONDS):
        return False
    return hmac.compare_digest(derived(secret, STATE).encode(), state.encode())


def _redirect(where: str, *cookies: str) -> ASGIResponse:
    headers = [*STRICT.items(), ("location", where), *(("set-cookie", one) for one in cookies)]
    return ASGIResponse(status_code=303, headers=headers, media_type=HTML)


def _name(request: Request[Any, Any, Any]) -> str:
    return PENDING_TLS if under_tls(request) else PENDING


def _pending(request: Request[Any, Any, Any], secret: str) -> str:
    """The cookie of a sign-in; without a secret it is deleted. Lax, since the callback is a link from another site."""
    life = LONGEST_SECONDS if secret else 0
    return f"{_name(request)}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={life}{'; Secure' if under_tls(request) else ''}"
