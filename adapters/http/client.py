"""The HTTP client for an EMR's server: authenticated requests within a budget, retried if that may help. Every protocol uses it.

The token is sent only to the server it is for: links and redirects to another origin are refused. Errors name status and codes, never an
address or a body, because both may contain patient data.
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
from adapters.http.auth import SERVER, TOKEN_ENDPOINT, Auth, Clock, Headers, TokenReply, TokenRequest, run_flow
from adapters.http.budget import Budget, BudgetLimits
from adapters.http.download import TOKEN, Bounds, DownloadedResponse, DownloadLimits, read_response
from adapters.http.retry import Retryable

if TYPE_CHECKING:
    import requests

JSON = "application/json"
REDIRECTS = 3
REFUSED = (401, 403)
SAME_METHOD = (307, 308)
CONNECT_TIMEOUT = 10.0  # seconds
OTHER_ORIGIN = "the server links or redirects to a different origin than base_url. The token is not sent there: fix base_url"

T = TypeVar("T")


class Response(NamedTuple):
    """A response that is not an error. ``at``: the server's time (its Date header), else ours.

    ``began``: no later than when it began to answer, by both clocks.
    """

    body: bytes
    url: str
    at: datetime
    began: datetime


class RawResponse(NamedTuple):
    """A response with any status, not checked yet; its times as in :class:`Response`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    at: datetime
    began: datetime


class _TimedResponse(NamedTuple):
    """A response with the URL that returned it and when it was requested."""

    response: DownloadedResponse
    url: str
    begun: datetime


class StatusError(AdapterError):
    """The server returned an error status."""

    def __init__(self, message: str, status: int, *, permanent: bool = False, retry_after: float | None = None) -> None:
        self.status = status
        super().__init__(message, permanent=permanent, retry_after=retry_after)


class RequestRejected(StatusError):
    """The server rejected the request: wrong settings, or a link to a page that it no longer knows."""


class HttpClient:
    """One server, one session. ``sleep`` waits between attempts. ``timeout``: seconds for each read. ``download``: limits of each response.

    ``ca``: certificates (PEM) to trust in addition to the public ones. Every request counts against ``budget``. Threads may share a client.
    The client of a protocol sets what it accepts, how it describes the body of an error, and what to advise if a request is rejected.
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
        self._token_lock = threading.Lock()

    @cached_property
    def session(self) -> requests.Session:
        """The session, opened with the first request: checking a configuration needs none."""
        from adapters.http import session

        return session.open_session(self._ca)

    def close(self) -> None:
        self.session.close()

    def described(self, body: bytes) -> str:
        """What the body of an error adds to its message: its kind, if it is not JSON."""
        what = unexpected.described(body)
        return "" if what == unexpected.NOTHING or what.startswith("JSON of") else f" ({what})"

    def address(self, path: str, parameters: Mapping[str, str] | None = None) -> str:
        """The URL of a path below the base URL."""
        import requests

        url = f"{self.base_url}/{path.lstrip('/')}"
        return requests.Request("GET", url, params=parameters).prepare().url or url

    def once(self, url: str) -> Response | None:
        """The server's response, authenticated again if it refuses the token; ``None`` if nothing is there (404, 410)."""
        response, _, begun = self._authenticated("GET", url, {"Accept": self.accept})
        return self._checked(response, url, begun)

    def ask(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> RawResponse:
        """One request with the token, to our server only. The caller checks the response. Retried if the network fails."""
        return self.retrying(lambda: self._raw_response(method, self.own_url(url), headers, body))

    def ask_once(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> RawResponse:
        """The same, not repeated if the network fails: for what must know whether an earlier attempt may have been taken."""
        try:
            return self._raw_response(method, self.own_url(url), headers, body)
        except Retryable as failed:
            raise failed.error from None

    def authorize(self) -> Headers:
        """The authentication headers, with a new token if needed. Raises :class:`~adapters.base.AdapterError`."""
        return self.retrying(self._authorize)

    def own_url(self, url: str) -> str:
        """The URL, if it is on our server. Raises :class:`~adapters.base.AdapterError`."""
        if not same_origin(url, self.base_url):
            raise AdapterError(OTHER_ORIGIN, permanent=True)
        return url

    def retrying(self, attempt: Callable[[], T]) -> T:
        """The result of the attempt, repeated while it raises :class:`~adapters.http.retry.Retryable` and retries are left."""
        return retry.retrying(attempt, self.sleep)

    def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        bounds: Bounds,
        body: dict[str, str] | bytes | None = None,
        *,
        peer: str = SERVER,
    ) -> DownloadedResponse:
        """One request exactly as given: the caller makes sure that a token goes only where it may. The response is within the bounds."""
        begun = time.monotonic()
        with _plain_errors(peer):
            return read_response(self._open_response(method, url, headers, body), bounds, begun)

    def open(self, url: str, headers: Headers) -> requests.Response:
        """The same for a response whose body the caller reads in chunks."""
        with _plain_errors():
            return self._open_response("GET", url, headers, None)

    def retry_after(self, headers: Mapping[str, str]) -> float | None:
        """The seconds after which the server wants the next request, if it says so; Elation never does."""
        return fields.retry_after_seconds(headers.get("Retry-After"), self.clock())

    def _raw_response(self, method: str, url: str, headers: Headers, body: bytes | None) -> RawResponse:
        response, url, begun = self._authenticated(method, url, headers, body)
        at, began = self._times(response, begun)
        return RawResponse(response.status_code, response.headers, response.content, url, at, began)

    def _authenticated(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> _TimedResponse:
        answer = self._follow_redirects(method, url, headers, body)
        if answer.response.status_code in REFUSED and self.auth.forget():
            return self._follow_redirects(method, url, headers, body)
        return answer

    def _follow_redirects(self, method: str, url: str, headers: Headers, body: bytes | None) -> _TimedResponse:
        """The response after redirects within our server. A body is sent again only for 307 and 308."""
        for _ in range(REDIRECTS + 1):
            token, begun = self._authorize(), self.clock()
            response = self.send(method, url, {**headers, **token}, self.download.page, body)
            if not response.is_redirect or (method != "GET" and response.status_code not in SAME_METHOD):
                return _TimedResponse(response, url, begun)
            url = self.own_url(urljoin(url, response.headers["Location"]))
        raise AdapterError("too many redirects from the server", permanent=True)

    def _checked(self, response: DownloadedResponse, url: str, begun: datetime) -> Response | None:
        status = response.status_code
        if 200 <= status < 300:
            return Response(response.content, url, *self._times(response, begun))
        if status in (404, 410):
            return None
        retry_after = self.retry_after(response.headers)
        reported = f"the server returned {status}{self.described(response.content)}{retry.retry_after_note(retry_after)}"
        if status in retry.TRANSIENT:
            raise Retryable(StatusError(reported, status, retry_after=retry_after))
        if status in REFUSED:
            raise StatusError(f"{reported}: access denied; check auth and the granted scopes", status, permanent=True)
        raise RequestRejected(f"{reported}{self.rejected}", status, permanent=True)

    def _authorize(self) -> Headers:
        with self._token_lock:
            return run_flow(self.auth.headers(), self._token_reply)

    def _token_reply(self, request: TokenRequest) -> TokenReply:
        form = dict(request.form) if request.form is not None else None
        method, peer = ("GET", SERVER) if form is None else ("POST", TOKEN_ENDPOINT)
        response = self.send(method, request.url, {"Accept": JSON, **request.headers}, TOKEN, form, peer=peer)
        if response.status_code in retry.TRANSIENT:
            retry_after = self.retry_after(response.headers)
            reported = f"the token endpoint returned {response.status_code}{retry.retry_after_note(retry_after)}"
            raise Retryable(AdapterError(reported, retry_after=retry_after))
        return TokenReply(response.status_code, response.content)

    def _open_response(self, method: str, url: str, headers: Headers, body: dict[str, str] | bytes | None) -> requests.Response:
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
        """The server's time, and a time no later than when it began to answer, by its clock and by ours."""
        return fields.times(response.headers.get("Date"), begun, self.clock())


def same_origin(url: str, base_url: str) -> bool:
    """Whether both are the same server: scheme, host and port."""
    return _origin(url) == _origin(base_url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname, port or {"https": 443, "http": 80}.get(parts.scheme)


@contextmanager
def _plain_errors(peer: str = SERVER) -> Iterator[None]:
    """Turns errors of ``requests`` on the way to ``peer`` into ours."""
    import requests

    from adapters.http.session import connection_error_text

    try:
        yield
    except requests.exceptions.SSLError:
        raise AdapterError("the server's TLS certificate is not trusted", permanent=True) from None
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema):
        raise AdapterError("a server URL is invalid: check base_url and auth.token_url", permanent=True) from None
    except (requests.exceptions.Timeout, requests.exceptions.RequestException) as error:
        # Its text contains the URL, which may contain patient data: the original is not chained.
        raise Retryable(AdapterError(connection_error_text(error, peer))) from None
