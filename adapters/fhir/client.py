"""A FHIR server over HTTP: read one resource, search page by page. The one file of ``adapters/fhir`` that opens a connection.

The token goes to the server it is for and nowhere else: links and redirects to another origin are refused. Errors name status and
issue codes, never an address or a body, since both may hold a patient.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urljoin

import requests

from adapters import headers as fields
from adapters import retry
from adapters.auth import Auth, Headers, TokenReply, TokenRequest, carried_out
from adapters.base import AdapterError
from adapters.budget import Budget, Limits
from adapters.fhir import outcome, page
from adapters.fhir.moment import instant
from adapters.fhir.page import Page
from adapters.retry import Again

ACCEPT = "application/fhir+json, application/json;q=0.9"
REDIRECTS = 3
REFUSED = (401, 403)
CONNECT_TIMEOUT = 10.0  # seconds

Clock = Callable[[], datetime]
T = TypeVar("T")


class Response(NamedTuple):
    """``at`` is the server's time (its Date header), else ours."""

    body: bytes
    url: str
    at: datetime


class Answer(NamedTuple):
    """An answer of any status, not judged yet."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    at: datetime


class SearchPage(NamedTuple):
    """A page with the server's time: when it answered, and when it says it searched (it may answer from a cache)."""

    page: Page
    at: datetime
    searched_at: datetime
    last: bool


class NotUnderstood(AdapterError):
    """The server does not understand the request: wrong settings, or a link to a page that it no longer knows."""


class _Trusting(requests.adapters.HTTPAdapter):
    """Connections that also trust an authority of the site's own."""

    def __init__(self, ca: str) -> None:
        self.context = ssl.create_default_context(cadata=ca)
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self.context, **options)


class FhirClient:
    """One server, one session. ``sleep`` waits between attempts; ``timeout`` in seconds is for each answer.

    ``ca`` are certificates (PEM) to trust beside the public ones; every request is paid for from ``budget``.
    Threads may share a client.
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
        ca: str = "",
    ) -> None:
        self.base_url, self.auth, self.clock, self.timeout, self.sleep = base_url, auth, clock, timeout, sleep
        self.budget = budget or Budget(Limits(), clock, sleep)
        self.session = requests.Session()
        if ca:
            self.session.mount("https://", _Trusting(ca))
        self._buying = threading.Lock()

    def close(self) -> None:
        self.session.close()

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Response | None:
        """What stands at a path below the base URL; ``None`` when there is nothing (404, 410)."""
        url = f"{self.base_url}/{path}"
        return self._get(requests.Request("GET", url, params=parameters).prepare().url or url)

    def read(self, kind: str, name: str) -> Response | None:
        """One resource by its id; ``None`` when the server has none."""
        return self.get(f"{kind}/{quote(name, safe='')}")

    def search(self, kind: str, parameters: Mapping[str, str]) -> Iterator[SearchPage]:
        """The pages of a search, one in memory at a time. A link that cannot be followed fails the search, never ends it."""
        response = self.get(kind, parameters)
        seen: set[int] = set()
        while True:
            if response is None:
                where = "the next page of a search is not there" if seen else f"the server has no search of {kind}"
                raise AdapterError(where, permanent=not seen)
            found = page.read(response.body, response.url)
            searched_at = instant(found.searched_at) or response.at
            yield SearchPage(found, response.at, min(searched_at, response.at), found.next_url is None)
            if found.next_url is None:
                return
            if hash(found.next_url) in seen:
                raise AdapterError("the server's links to the next page go in a circle")
            seen.add(hash(found.next_url))
            response = self._next(self._ours(found.next_url))

    def ask(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> Answer:
        """One request with our token, to our server only; its answer is the caller's to judge. Asked again when the network fails."""
        return self.retrying(lambda: self._asked(method, self._ours(url), headers, body))

    def _asked(self, method: str, url: str, headers: Headers, body: bytes | None) -> Answer:
        response = self.send(method, url, {**headers, **self._authorize()}, body)
        if response.status_code in REFUSED and self.auth.forget():
            response = self.send(method, url, {**headers, **self._authorize()}, body)
        return Answer(response.status_code, response.headers, response.content, url, self._time(response))

    def authorize(self) -> Headers:
        """The headers that prove who we are, bought if need be. Raises :class:`~adapters.base.AdapterError`."""
        return self.retrying(self._authorize)

    def _authorize(self) -> Headers:
        with self._buying:
            return carried_out(self.auth.headers(), self._token_reply)

    def _ours(self, url: str) -> str:
        if not page.same_origin(url, self.base_url):
            message = "the server links or redirects to another origin than base_url, where the token must not go: mend base_url"
            raise AdapterError(message, permanent=True)
        return url

    def _get(self, url: str) -> Response | None:
        return self.retrying(lambda: self._once(url))

    def _next(self, url: str) -> Response | None:
        """The next page. Servers forget searches that took long: that is no wrong setting, the run can begin again."""
        try:
            return self._get(url)
        except NotUnderstood as error:
            raise AdapterError(f"the next page of a search cannot be read: {error}") from None

    def retrying(self, attempt: Callable[[], T]) -> T:
        """The attempt, repeated while it says so (:class:`~adapters.retry.Again`) and it is worth it."""
        return retry.retrying(attempt, self.sleep)

    def _once(self, url: str) -> Response | None:
        """One request, authenticated once more if the server refuses the token."""
        response = self._follow(url)
        if response.status_code in REFUSED and self.auth.forget():
            response = self._follow(url)
        return self._judged(response, url)

    def _follow(self, url: str) -> requests.Response:
        for _ in range(REDIRECTS + 1):
            response = self.send("GET", url, {"Accept": ACCEPT, **self._authorize()})
            if not response.is_redirect:
                return response
            url = self._ours(urljoin(url, response.headers["Location"]))
        raise AdapterError("the server redirects without end", permanent=True)

    def _judged(self, response: requests.Response, url: str) -> Response | None:
        status = response.status_code
        if 200 <= status < 300:
            return Response(response.content, url, self._time(response))
        if status in (404, 410):
            return None
        issues = outcome.summary(response.content)
        said = f"the server answered {status}" + (f" ({issues})" if issues else "")
        if status in retry.TRANSIENT:
            raise Again(AdapterError(said, retry_after=self.asked(response.headers)))
        if status in REFUSED:
            raise AdapterError(f"{said}: it refuses us; look at auth and at what this client may read", permanent=True)
        raise NotUnderstood(said, permanent=True)

    def _token_reply(self, wanted: TokenRequest) -> TokenReply:
        form = dict(wanted.form) if wanted.form is not None else None
        response = self.send("GET" if form is None else "POST", wanted.url, {"Accept": "application/json"}, form)
        if response.status_code in retry.TRANSIENT:
            said = f"the token endpoint answered {response.status_code}"
            raise Again(AdapterError(said, retry_after=self.asked(response.headers)))
        return TokenReply(response.status_code, response.content)

    def send(
        self, method: str, url: str, headers: Headers, body: dict[str, str] | bytes | None = None, *, stream: bool = False
    ) -> requests.Response:
        """One request exactly as given: who calls sees to it that a token goes only where it may."""
        self.budget.spend()
        try:
            # The auth callable keeps requests from putting a password of ~/.netrc in the token's place.
            return self.session.request(
                method,
                url,
                headers=headers,
                data=body,
                auth=lambda request: request,
                timeout=(min(CONNECT_TIMEOUT, self.timeout), self.timeout),
                allow_redirects=False,
                stream=stream,
            )
        except requests.exceptions.SSLError:
            raise AdapterError("the server's TLS certificate is not trusted", permanent=True) from None
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema):
            raise AdapterError("an address of the server cannot be used: look at base_url and auth.token_url", permanent=True) from None
        except (requests.exceptions.Timeout, requests.exceptions.RequestException) as error:
            # Its text holds the address, and with it maybe a patient: only its kind is told, and the original is not chained.
            raise Again(AdapterError(f"the server could not be reached ({type(error).__name__})")) from None

    def asked(self, headers: Mapping[str, str]) -> float | None:
        """In how many seconds the server wants to be asked again, where it says so."""
        return fields.seconds_asked(headers.get("Retry-After"), self.clock())

    def _time(self, response: requests.Response) -> datetime:
        return fields.moment(response.headers.get("Date")) or self.clock()
