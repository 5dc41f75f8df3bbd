"""An EMR's server over HTTP: authenticated requests within a budget, asked again where it is worth it. For every protocol alike.

The token goes to the server it is for and nowhere else: links and redirects to another origin are refused. Errors name status and
codes, never an address or a body, since both may hold a patient.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

from adapters.base import AdapterError
from adapters.http import headers as fields
from adapters.http import retry, unexpected
from adapters.http.auth import SERVER, TOKEN_ENDPOINT, Auth, Clock, Headers, TokenReply, TokenRequest, carried_out
from adapters.http.budget import Budget, BudgetLimits
from adapters.http.download import TOKEN, Bounds, DownloadedResponse, DownloadLimits, received
from adapters.http.retry import Retryable

if TYPE_CHECKING:
    import requests

JSON = "application/json"
REDIRECTS = 3
REFUSED = (401, 403)
SAME_METHOD = (307, 308)
CONNECT_TIMEOUT = 10.0  # seconds
ELSEWHERE = "the server links or redirects to a different origin than base_url. The token is not sent there: fix base_url"

T = TypeVar("T")


class Response(NamedTuple):
    """``at`` is the server's time (its Date header), else ours. ``asked``: no later than when it began to answer, by both clocks."""

    body: bytes
    url: str
    at: datetime
    asked: datetime


class RawResponse(NamedTuple):
    """An answer of any status, not judged yet; its times as in :class:`Response`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    at: datetime
    asked: datetime


class _Answer(NamedTuple):
    """An answer with the address that gave it and when that was asked."""

    response: DownloadedResponse
    url: str
    begun: datetime


class StatusError(AdapterError):
    """The server answered with a status that is an error. ``status`` is its number."""

    def __init__(self, message: str, status: int, *, permanent: bool = False, retry_after: float | None = None) -> None:
        self.status = status
        super().__init__(message, permanent=permanent, retry_after=retry_after)


class NotUnderstood(StatusError):
    """The server does not understand the request: wrong settings, or a link to a page that it no longer knows."""


class HttpClient:
    """One server, one session. ``sleep`` waits between attempts; ``timeout`` in seconds is for each read, ``download`` bounds each answer.

    ``ca`` are certificates (PEM) to trust beside the public ones; every request is paid for from ``budget``. Threads may share a client.
    A protocol's own says what it accepts, how it describes the body of an error, and what to do about a request that is not understood.
    """

    accept, rejected = JSON, ""

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
        download: DownloadLimits | None = None,
    ) -> None:
        self.base_url, self.auth, self.clock, self.timeout, self.sleep = base_url, auth, clock, timeout, sleep
        self.budget = budget or Budget(BudgetLimits(), clock, sleep)
        self.download, self._ca = download or DownloadLimits(), ca
        self._buying = threading.Lock()

    @cached_property
    def session(self) -> requests.Session:
        """Opened with the first request: a configuration is checked without one."""
        from adapters.http import session

        return session.opened(self._ca)

    def close(self) -> None:
        self.session.close()

    def described(self, body: bytes) -> str:
        """What the body of an error adds to its text: only what it is, where it is no JSON."""
        what = unexpected.described(body)
        return "" if what == unexpected.NOTHING or what.startswith("JSON of") else f" ({what})"

    def address(self, path: str, parameters: Mapping[str, str] | None = None) -> str:
        """The address of a path below the base URL."""
        import requests

        url = f"{self.base_url}/{path.lstrip('/')}"
        return requests.Request("GET", url, params=parameters).prepare().url or url

    def once(self, url: str) -> Response | None:
        """What the server answers, authenticated once more if it refuses the token; ``None`` when there is nothing (404, 410)."""
        response, _, begun = self._authenticated("GET", url, {"Accept": self.accept})
        return self._judged(response, url, begun)

    def ask(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> RawResponse:
        """One request with our token, to our server only; its answer is the caller's to judge. Asked again when the network fails."""
        return self.retrying(lambda: self._asked(method, self.ours(url), headers, body))

    def authorize(self) -> Headers:
        """The headers that prove who we are, bought if need be. Raises :class:`~adapters.base.AdapterError`."""
        return self.retrying(self._authorize)

    def ours(self, url: str) -> str:
        """The address, where it is of our server. Raises :class:`~adapters.base.AdapterError`."""
        if not same_origin(url, self.base_url):
            raise AdapterError(ELSEWHERE, permanent=True)
        return url

    def retrying(self, attempt: Callable[[], T]) -> T:
        """The attempt, repeated while it says so (:class:`~adapters.http.retry.Retryable`) and it is worth it."""
        return retry.retrying(attempt, self.sleep)

    def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        bounds: Bounds,
        body: dict[str, str] | bytes | None = None,
        *,
        who: str = SERVER,
    ) -> DownloadedResponse:
        """One request exactly as written: who calls sees to it that a token goes only where it may. Its answer is within the bounds."""
        begun = time.monotonic()
        with _failures(who):
            return received(self._opened(method, url, headers, body), bounds, begun)

    def open(self, url: str, headers: Headers) -> requests.Response:
        """The same for an answer that is read by who calls, piece by piece."""
        with _failures():
            return self._opened("GET", url, headers, None)

    def asked(self, headers: Mapping[str, str]) -> float | None:
        """In how many seconds the server wants to be asked again, where it says so; Elation never does."""
        return fields.seconds_asked(headers.get("Retry-After"), self.clock())

    def _asked(self, method: str, url: str, headers: Headers, body: bytes | None) -> RawResponse:
        response, url, begun = self._authenticated(method, url, headers, body)
        at, asked = self._times(response, begun)
        return RawResponse(response.status_code, response.headers, response.content, url, at, asked)

    def _authenticated(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> _Answer:
        answer = self._redirected(method, url, headers, body)
        if answer.response.status_code in REFUSED and self.auth.forget():
            return self._redirected(method, url, headers, body)
        return answer

    def _redirected(self, method: str, url: str, headers: Headers, body: bytes | None) -> _Answer:
        """The answer at the end of redirects within our server. A body goes on by 307 and 308 only."""
        for _ in range(REDIRECTS + 1):
            token, begun = self._authorize(), self.clock()
            response = self.send(method, url, {**headers, **token}, self.download.page, body)
            if not response.is_redirect or (method != "GET" and response.status_code not in SAME_METHOD):
                return _Answer(response, url, begun)
            url = self.ours(urljoin(url, response.headers["Location"]))
        raise AdapterError("too many redirects from the server", permanent=True)

    def _judged(self, response: DownloadedResponse, url: str, begun: datetime) -> Response | None:
        status = response.status_code
        if 200 <= status < 300:
            return Response(response.content, url, *self._times(response, begun))
        if status in (404, 410):
            return None
        asked = self.asked(response.headers)
        reported = f"the server returned {status}{self.described(response.content)}{retry.told(asked)}"
        if status in retry.TRANSIENT:
            raise Retryable(StatusError(reported, status, retry_after=asked))
        if status in REFUSED:
            raise StatusError(f"{reported}: access denied; check auth and the granted scopes", status, permanent=True)
        raise NotUnderstood(f"{reported}{self.rejected}", status, permanent=True)

    def _authorize(self) -> Headers:
        with self._buying:
            return carried_out(self.auth.headers(), self._token_reply)

    def _token_reply(self, wanted: TokenRequest) -> TokenReply:
        form = dict(wanted.form) if wanted.form is not None else None
        method, who = ("GET", SERVER) if form is None else ("POST", TOKEN_ENDPOINT)
        response = self.send(method, wanted.url, {"Accept": JSON, **wanted.headers}, TOKEN, form, who=who)
        if response.status_code in retry.TRANSIENT:
            asked = self.asked(response.headers)
            reported = f"the token endpoint returned {response.status_code}{retry.told(asked)}"
            raise Retryable(AdapterError(reported, retry_after=asked))
        return TokenReply(response.status_code, response.content)

    def _opened(self, method: str, url: str, headers: Headers, body: dict[str, str] | bytes | None) -> requests.Response:
        self.budget.spend()
        return self.session.request(
            method,
            url,
            headers=headers,
            data=body,
            timeout=(min(CONNECT_TIMEOUT, self.timeout), self.timeout),
            allow_redirects=False,
            stream=True,
        )

    def _times(self, response: DownloadedResponse, begun: datetime) -> tuple[datetime, datetime]:
        """The server's time, and no later than when it began to answer: by its clock and by ours."""
        return fields.times(response.headers.get("Date"), begun, self.clock())


def same_origin(url: str, base_url: str) -> bool:
    """Whether both are one server: scheme, host and port."""
    return _origin(url) == _origin(base_url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname, port or {"https": 443, "http": 80}.get(parts.scheme)


@contextmanager
def _failures(who: str = SERVER) -> Iterator[None]:
    """What went wrong on the way to ``who``, in our words."""
    import requests

    from adapters.http.session import unreached

    try:
        yield
    except requests.exceptions.SSLError:
        raise AdapterError("the server's TLS certificate is not trusted", permanent=True) from None
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema):
        raise AdapterError("a server URL is invalid: check base_url and auth.token_url", permanent=True) from None
    except (requests.exceptions.Timeout, requests.exceptions.RequestException) as error:
        # Its text holds the address, and with it maybe a patient: the original is not chained.
        raise Retryable(AdapterError(unreached(error, who))) from None
