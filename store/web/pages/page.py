"""A page as data: method, path, roles, and a plain function that answers. This file does what all pages share.

That is: the session and role, the form and its CSRF token, the worker thread, security headers, and error pages.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.domain.lock import Actor, Role
from store.users.sessions import Sessions, Visitor
from store.web.http.body import whole
from store.web.http.border import check_texts
from store.web.http.lanes import Lanes
from store.web.http.problem import ProblemDetails, answer, problem_of
from store.web.pages.templates import rendered

COOKIE, COOKIE_TLS = "emr_sync_session", "__Host-emr_sync_session"
STRICT = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
HTML = "text/html"
LIVE = "x-emr-sync-live"
MOST_FIELDS = 50
FIRST = frozenset({"/password", "/sign-out"})
"""The only paths open to a user whose password somebody else set: choose their own, or sign out."""


class Visit(NamedTuple):
    """An authorized request of a signed-in visitor."""

    visitor: Visitor
    secret: str
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    form: Mapping[str, str]
    now: datetime
    address: str = ""

    @property
    def enterprise(self) -> str:
        """The visitor's current enterprise."""
        return self.visitor.enterprise

    @property
    def actor(self) -> Actor:
        """The visitor, for the history."""
        return Actor(self.visitor.role, self.visitor.name)


class Shown(NamedTuple):
    """A page to show. ``part``: the template of the part that refreshes itself, if any (``static/live.js``).

    ``secret``: empty if the session ends with this page.
    """

    template: str
    values: Mapping[str, Any]
    status: int = 200
    part: str = ""
    secret: str | None = None


class Goto(NamedTuple):
    """A redirect. ``secret``: that of a new session; empty if the session ends."""

    where: str
    secret: str | None = None


class Download(NamedTuple):
    """A file to download."""

    body: bytes
    media: str
    name: str


Reply = Shown | Goto | Download


@dataclass(frozen=True, slots=True)
class Page:
    """One page or form action. ``hashes``: it checks a password."""

    method: str
    path: str
    roles: frozenset[Role]
    answer: Callable[[Visit], Reply]
    hashes: bool = False


Frame = Callable[[Visitor | None, datetime], Mapping[str, Any]]
"""The values that every page needs: enterprise, menu, time zone."""


class PageAccess:
    """Checks sessions and roles, and serves the pages."""

    def __init__(self, sessions: Sessions, frame: Frame, clock: Callable[[], datetime], lanes: Lanes) -> None:
        self.sessions, self.frame, self.clock, self.lanes = sessions, frame, clock, lanes

    def handler(self, page: Page) -> HTTPRouteHandler:
        """A page's Litestar route."""
        lane = self.lanes.passwords if page.hashes else self.lanes.pages

        async def handle(request: Request[Any, Any, Any]) -> ASGIResponse:
            body = await whole(request) if page.method == "POST" else b""
            try:
                return await lane.run(self.served, page, request, body)
            except ProblemDetails as busy:
                return self.failed(request, busy, None, self.clock())

        return HTTPRouteHandler(page.path, http_method=page.method, status_code=200)(handle)  # type: ignore[arg-type]

    def served(self, page: Page, request: Request[Any, Any, Any], body: bytes) -> ASGIResponse:
        """The page, or an error page."""
        visitor, now = None, self.clock()
        try:
            form = fields(request, body)
            secret = request.cookies.get(cookie_name(request), "")
            visitor = self.sessions.visitor(secret, now, active=not is_automatic(request)) if secret else None
            if visitor is None:
                return self.send(request, Goto(_sign_in(page, secret), "" if secret else None), None, now)
            if visitor.provisional and page.path not in FIRST:
                return self.send(request, Goto("/password"), visitor, now)
            check_texts(request.path_params)
            check_texts(request.query_params)
            allow(page, visitor, form)
            visit = Visit(visitor, secret, request.path_params, request.query_params, form, now, address(request))
            return self.send(request, page.answer(visit), visitor, now)
        except Exception as error:
            return self.failed(request, error, visitor, now)

    def failed(self, request: Request[Any, Any, Any], error: Exception, visitor: Visitor | None, now: datetime) -> ASGIResponse:
        """The error as a page. An unexpected error reveals nothing."""
        problem = problem_of(error)
        answer(request, error)  # logs the error
        values = {"problem": problem, "title": "Something went wrong"}
        shown = self.send(request, Shown("problem.html", values, int(problem.status)), visitor, now)
        shown.headers.update(problem.headers)
        return shown

    def send(self, request: Request[Any, Any, Any], reply: Reply, visitor: Visitor | None, now: datetime) -> ASGIResponse:
        """The HTTP response of a reply, with the headers that all pages have."""
        if isinstance(reply, Goto):
            headers = {**STRICT, "location": reply.where}
            if reply.secret is not None:
                headers["set-cookie"] = cookie(request, reply.secret)
            return ASGIResponse(status_code=303, headers=headers, media_type=HTML)
        if isinstance(reply, Download):
            headers = {**STRICT, "content-disposition": f'attachment; filename="{reply.name}"'}
            return ASGIResponse(body=reply.body, headers=headers, media_type=reply.media)
        template = reply.part if LIVE in request.headers and reply.part else reply.template
        page = rendered(template, {**self.frame(visitor, now), **reply.values})
        headers = STRICT if reply.secret is None else {**STRICT, "set-cookie": cookie(request, reply.secret)}
        return ASGIResponse(body=page, status_code=reply.status, headers=headers, media_type=HTML)


def _sign_in(page: Page, secret: str) -> str:
    """The form for signing in. Whoever sent something has to know that it was not saved: it may have been a patient's opt-out."""
    if page.method == "POST" and page.path not in FIRST:
        return "/sign-in?again=unsaved"
    return "/sign-in?again=1" if secret else "/sign-in"


def is_automatic(request: Request[Any, Any, Any]) -> bool:
    """Whether a page refreshes itself. Such a request must not keep a session alive."""
    return LIVE in request.headers or "live" in request.query_params


def allow(page: Page, visitor: Visitor, form: Mapping[str, str]) -> None:
    """Raises :class:`ProblemDetails` 403 for a role without access, and for a form without the session's CSRF token."""
    if visitor.role not in page.roles:
        raise ProblemDetails(403, "role_refused", f"the role {visitor.role} may not do that; required: {' or '.join(sorted(page.roles))}")
    if page.method == "POST" and not hmac.compare_digest(form.get("csrf", "").encode(), visitor.csrf.encode()):
        raise ProblemDetails(403, "form_outdated", "this form belongs to another session: reload the page and try again")


def fields(request: Request[Any, Any, Any], body: bytes) -> Mapping[str, str]:
    """The form's fields. Raises :class:`ProblemDetails` 403 if another site sent it, 422 if it is not a form."""
    if not body:
        return {}
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ProblemDetails(403, "form_elsewhere", "this form was sent from another site")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise ProblemDetails(422, "invalid_request", "this is not a valid form") from error
    form = {name: value.strip() for name, value in pairs}
    check_texts(form)
    return form


def cookie_name(request: Request[Any, Any, Any]) -> str:
    """The session cookie's name. Under TLS the ``__Host-`` prefix binds it to this host (RFC 6265bis 4.1.3.2)."""
    return COOKIE_TLS if under_tls(request) else COOKIE


def cookie(request: Request[Any, Any, Any], secret: str) -> str:
    """The cookie of a session; without a secret it is deleted."""
    ended = "" if secret else "; Max-Age=0"
    return f"{cookie_name(request)}={secret}; Path=/; HttpOnly; SameSite=Lax{ended}{'; Secure' if under_tls(request) else ''}"


def address(request: Request[Any, Any, Any]) -> str:
    """The client's address, for slowing down guesses. IPv6 counts by /64 network, since a machine can use many addresses."""
    host = request.client.host if request.client else ""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def under_tls(request: Request[Any, Any, Any]) -> bool:
    """Whether the browser uses TLS, to us or to a proxy on this machine that reports it."""
    return bool(request.scope["scheme"] == "https")
