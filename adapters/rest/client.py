"""A JSON API over HTTP. The one file of ``adapters/rest`` that opens a connection.

The token goes to the server it is for and nowhere else: links and redirects to another origin are refused. Errors name a status, never
an address or a body, since both may hold a patient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from adapters.base import AdapterError
from adapters.http import download, unexpected
from adapters.http import headers as fields
from adapters.http.auth import SERVER, TOKEN_ENDPOINT, Auth, Clock, Headers, TokenReply, TokenRequest, carried_out
from adapters.http.budget import Budget, BudgetLimits
from adapters.http.download import TOKEN, Bounds, DownloadedResponse, DownloadLimits
from adapters.http.retry import TRANSIENT, Retryable, retrying, told
from adapters.mapping import legible

if TYPE_CHECKING:
    import requests

REDIRECTS = 3
CONNECT_TIMEOUT = 10.0  # seconds
REFUSED = (401, 403)


class JsonResponse(NamedTuple):
    """``data`` is the decoded JSON; ``at`` the server's time (its Date header), else ours.

    ``asked``: no later than when it began to answer, by both clocks.
    """

    data: Any
    url: str
    at: datetime
    asked: datetime


class JsonClient:
    """One server, one session. ``sleep`` waits between attempts; ``timeout`` in seconds is for each read, ``page`` bounds each answer.

    Every request is paid for from ``budget``.
    """

    def __init__(
        self,
        base_url: str,
        auth: Auth,
        *,
        clock: Clock,
        timeout: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        budget: Budget | None = None,
        page: Bounds | None = None,
    ) -> None:
        self.base_url, self.auth, self.clock, self.timeout, self.sleep = base_url, auth, clock, timeout, sleep
        self.budget = budget or Budget(BudgetLimits(), clock, sleep)
        self._page = page or DownloadLimits().page

    @cached_property
    def session(self) -> requests.Session:
        """Opened with the first request: a configuration is checked without one."""
        from adapters.http import session

        return session.opened()

    def close(self) -> None:
        self.session.close()

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> JsonResponse | None:
        """What stands at a path below the base URL; ``None`` when there is nothing (404, 410)."""
        import requests

        url = f"{self.base_url}/{path.lstrip('/')}"
        return self._retrying(requests.Request("GET", url, params=parameters).prepare().url or url)

    def follow(self, link: str, origin: JsonResponse) -> JsonResponse:
        """The page that an answer links to, verbatim. One that is not there fails the read, never ends it."""
        answer = self._retrying(self._ours(urljoin(origin.url, link)))
        if answer is None:
            raise AdapterError("the next page of a list was not found")
        return answer

    def authorize(self) -> Headers:
        """The headers that prove who we are, bought if need be."""
        return carried_out(self.auth.headers(), self._token_reply)

    def _ours(self, url: str) -> str:
        if urlsplit(url)[:2] != urlsplit(self.base_url)[:2]:
            message = "the server links or redirects to a different origin than base_url. The token is not sent there: fix base_url"
            raise AdapterError(message, permanent=True)
        return url

    def _retrying(self, url: str) -> JsonResponse | None:
        return retrying(lambda: self._once(url), self.sleep)

    def _once(self, url: str) -> JsonResponse | None:
        """One request, authenticated once more if the server refuses the token."""
        response, begun = self._redirected(url)
        if response.status_code in REFUSED and self.auth.forget():
            response, begun = self._redirected(url)
        return self._judged(response, url, begun)

    def _redirected(self, url: str) -> tuple[DownloadedResponse, datetime]:
        for _ in range(REDIRECTS + 1):
            token, begun = self.authorize(), self.clock()
            response = self._send("GET", url, token, self._page)
            if not response.is_redirect:
                return response, begun
            url = self._ours(urljoin(url, response.headers["Location"]))
        raise AdapterError("too many redirects from the server", permanent=True)

    def _judged(self, response: DownloadedResponse, url: str, begun: datetime) -> JsonResponse | None:
        status, asked = response.status_code, self._seconds_asked(response)
        if status in (404, 410):
            return None
        what = f"{status}{_told(response.content)}{told(asked)}"
        if status in TRANSIENT:
            raise Retryable(AdapterError(f"the server returned {what}", retry_after=asked))
        if status in REFUSED:
            raise AdapterError(f"access denied ({what}): check auth and the granted scopes", permanent=True)
        if not 200 <= status < 300:
            raise AdapterError(f"the server rejected the request ({what}): check the settings of the source", permanent=True)
        try:
            return JsonResponse(legible.loads(response.content), url, *fields.times(response.headers.get("Date"), begun, self.clock()))
        except (ValueError, RecursionError):
            raise Retryable(AdapterError(f"the server's response cannot be used: {unexpected.described(response.content)}")) from None

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], bounds: Bounds, form: Mapping[str, str] | None = None, who: str = SERVER
    ) -> DownloadedResponse:
        import requests

        from adapters.http.session import unreached

        self.budget.spend()
        begun = time.monotonic()
        try:
            response = self.session.request(
                method,
                url,
                data=form,
                headers={"Accept": "application/json", **headers},
                timeout=(CONNECT_TIMEOUT, self.timeout),
                allow_redirects=False,
                stream=True,
            )
            return download.received(response, bounds, begun)
        except requests.exceptions.RequestException as error:
            # Its text holds the address, and with it maybe a patient: the original is not chained.
            raise Retryable(AdapterError(unreached(error, who))) from None

    def _token_reply(self, wanted: TokenRequest) -> TokenReply:
        response = self._send("POST", wanted.url, wanted.headers, TOKEN, wanted.form, TOKEN_ENDPOINT)
        return TokenReply(response.status_code, response.content, self._seconds_asked(response))

    def _seconds_asked(self, response: DownloadedResponse) -> float | None:
        """What Retry-After says; Elation sends none."""
        return fields.seconds_asked(response.headers.get("Retry-After"), self.clock())


def _told(body: bytes) -> str:
    """What an error's body adds to its text: only what it is, where it is no JSON."""
    what = unexpected.described(body)
    return "" if what == unexpected.NOTHING or what.startswith("JSON of") else f", {what}"
