"""``/unsubscribe/{token}``: one click unsubscribes an e-mail address (RFC 8058).

A mailbox provider posts ``List-Unsubscribe=One-Click``, without cookies, sign-in or redirects. GET changes nothing, since mail scanners
follow links: it shows people a page with one button.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.domain.channels import EMAIL
from store.patients.address_opt_outs import UNSUBSCRIBE, AskedOptOut, record_opt_out
from store.patients.preferences import Preferences
from store.patients.unsubscribe import PATH, UnsubscribeLinks
from store.web.http.body import whole

MOST_BYTES = 16 * 1024
ACTOR = "one-click"
HTML = "text/html; charset=utf-8"
STRICT = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
}
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1rem}}</style></head><body><h1>{title}</h1>{text}</body></html>"""
FORM = (
    '<p>You will get no more e-mail of this kind from us.</p><form method="post"><input type="hidden" name="List-Unsubscribe" '
    'value="One-Click"><button>Unsubscribe</button></form>'
)
ASK = PAGE.format(title="Unsubscribe", text=FORM)
DONE = PAGE.format(title="You are unsubscribed", text="<p>You will get no more e-mail of this kind from us.</p>")
UNKNOWN = PAGE.format(title="This link does not work", text="<p>Use the link in the newest e-mail, or call the clinic.</p>")
UNCLEAR = PAGE.format(title="Nothing was changed", text="<p>Open the link in the e-mail again and press the button.</p>")


class OneClick:
    """The address that people and mailbox providers reach without a key."""

    def __init__(self, store: Preferences, links: UnsubscribeLinks, clock: Callable[[], datetime]) -> None:
        self.store, self.links, self.clock = store, links, clock

    def handlers(self) -> list[HTTPRouteHandler]:
        """The address for Litestar."""

        async def show(request: Request[Any, Any, Any]) -> ASGIResponse:
            return _html(ASK, 200) if self.links.read(request.path_params["token"]) else _html(UNKNOWN, 404)

        async def unsubscribe(request: Request[Any, Any, Any]) -> ASGIResponse:
            body = await whole(request)
            return await asyncio.to_thread(self.unsubscribe, request.path_params["token"], body)

        path = f"{PATH}{{token:str}}"
        return [
            HTTPRouteHandler(path, http_method="GET", status_code=200)(show),
            HTTPRouteHandler(path, http_method="POST", status_code=200, request_max_body_size=MOST_BYTES)(unsubscribe),
        ]

    def unsubscribe(self, token: str, body: bytes) -> ASGIResponse:
        """Records the opt-out; repeats change nothing. The body may be URL-encoded or multipart (RFC 8058 section 3.2)."""
        link = self.links.read(token)
        if link is None or link.enterprise not in self.store.enterprises:
            return _html(UNKNOWN, 404)
        if b"List-Unsubscribe" not in body or b"One-Click" not in body:
            return _html(UNCLEAR, 400)
        asked = AskedOptOut(EMAIL, link.address, UNSUBSCRIBE, topic=link.topic)
        record_opt_out(self.store, link.enterprise, asked, ACTOR, self.clock())
        return _html(DONE, 200)


def _html(text: str, status: int) -> ASGIResponse:
    return ASGIResponse(body=text.encode(), status_code=status, headers=STRICT, media_type=HTML)
