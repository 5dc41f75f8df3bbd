"""A FHIR server over HTTP: read one resource, search page by page. The one file of ``adapters/fhir`` that opens a connection.

The token goes to the server it is for and nowhere else: links and redirects to another origin are refused. Errors name status and
issue codes, never an address or a body, since both may hold a patient.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote, urljoin

from adapters.base import AdapterError
from adapters.fhir import bundle, outcome
from adapters.fhir.bundle import BundlePage
from adapters.fhir.dates import instant
from adapters.http import headers as fields
from adapters.http import retry
from adapters.http.auth import SERVER, TOKEN_ENDPOINT, Auth, Headers, TokenReply, TokenRequest, carried_out
from adapters.http.budget import Budget, BudgetLimits
from adapters.http.completeness import Whole
from adapters.http.download import TOKEN, Bounds, DownloadedResponse, DownloadLimits, received
from adapters.http.retry import Retryable

if TYPE_CHECKING:
    import requests

ACCEPT = "application/fhir+json, application/json;q=0.9"
REDIRECTS = 3
REFUSED = (401, 403)
SAME_METHOD = (307, 308)
CONNECT_TIMEOUT = 10.0  # seconds

Clock = Callable[[], datetime]
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


class SearchPage(NamedTuple):
    """A page with the server's time: when it answered, and when at the latest it searched (it may answer late, or from a cache).

    ``short`` says on the last page why the search is not whole; empty when it is.
    """

    page: BundlePage
    at: datetime
    searched_at: datetime
    last: bool
    short: str = ""


class StatusError(AdapterError):
    """The server answered with a status that is an error. ``status`` is its number."""

    def __init__(self, message: str, status: int, *, permanent: bool = False, retry_after: float | None = None) -> None:
        self.status = status
        super().__init__(message, permanent=permanent, retry_after=retry_after)


class NotUnderstood(StatusError):
    """The server does not understand the request: wrong settings, or a link to a page that it no longer knows."""


class FhirClient:
    """One server, one session. ``sleep`` waits between attempts; ``timeout`` in seconds is for each read, ``download`` bounds each answer.

    ``ca`` are certificates (PEM) to trust beside the public ones; every request is paid for from ``budget``.
    Threads may share a client. Without ``trust_total`` a search may bring fewer records than its Bundle announces.
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
        trust_total: bool = True,
        download: DownloadLimits | None = None,
    ) -> None:
        self.base_url, self.auth, self.clock, self.timeout, self.sleep = base_url, auth, clock, timeout, sleep
        self.budget = budget or Budget(BudgetLimits(), clock, sleep)
        self.trust_total, self._ca = trust_total, ca
        self.download = download or DownloadLimits()
        self._buying = threading.Lock()

    @cached_property
    def session(self) -> requests.Session:
        """Opened with the first request: a configuration is checked without one."""
        from adapters.http import session

        return session.opened(self._ca)

    def close(self) -> None:
        self.session.close()

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Response | None:
        """What stands at a path below the base URL; ``None`` when there is nothing (404, 410)."""
        import requests

        url = f"{self.base_url}/{path}"
        return self._get(requests.Request("GET", url, params=parameters).prepare().url or url)

    def read(self, kind: str, name: str) -> Response | None:
        """One resource by its id; ``None`` when the server has none."""
        return self.get(f"{kind}/{quote(name, safe='')}")

    def search(self, kind: str, parameters: Mapping[str, str]) -> Iterator[SearchPage]:
        """The pages of a search, one in memory at a time. A link that cannot be followed fails the search, never ends it.

        Pages that bring nothing new for ever are ended, and the last one says so (``short``).
        """
        response = self.get(kind, parameters)
        seen, whole = set[int](), Whole(kind, self.trust_total)
        while True:
            if response is None:
                where = "the next page of a search was not found" if seen else f"the server does not support searching {kind}"
                raise AdapterError(where, permanent=not seen)
            found = bundle.read(response.body, response.url)
            whole.page(found.keys, announced=found.total, beside=found.included, error=found.error)
            searched_at = min(instant(found.searched_at) or response.asked, response.asked)
            last = found.next_url is None or whole.endless
            yield SearchPage(found, response.at, searched_at, last, whole.missing() if last else "")
            if found.next_url is None or last:
                return
            if hash(found.next_url) in seen:
                raise AdapterError("the server's links to the next page form a loop")
            seen.add(hash(found.next_url))
            response = self._next(self._ours(found.next_url))

    def ask(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> RawResponse:
        """One request with our token, to our server only; its answer is the caller's to judge. Asked again when the network fails."""
        return self.retrying(lambda: self._asked(method, self._ours(url), headers, body))

    def _asked(self, method: str, url: str, headers: Headers, body: bytes | None) -> RawResponse:
        response, url, begun = self._follow(method, url, headers, body)
        if response.status_code in REFUSED and self.auth.forget():
            response, url, begun = self._follow(method, url, headers, body)
        at, asked = self._times(response, begun)
        return RawResponse(response.status_code, response.headers, response.content, url, at, asked)

    def authorize(self) -> Headers:
        """The headers that prove who we are, bought if need be. Raises :class:`~adapters.base.AdapterError`."""
        return self.retrying(self._authorize)

    def _authorize(self) -> Headers:
        with self._buying:
            return carried_out(self.auth.headers(), self._token_reply)

    def _ours(self, url: str) -> str:
        if not bundle.same_origin(url, self.base_url):
            message = "the server links or redirects to a different origin than base_url. The token is not sent there: fix base_url"
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
        """The attempt, repeated while it says so (:class:`~adapters.http.retry.Again`) and it is worth it."""
        return retry.retrying(attempt, self.sleep)

    def _once(self, url: str) -> Response | None:
        """One request, authenticated once more if the server refuses the token."""
        headers = {"Accept": ACCEPT}
        response, _, begun = self._follow("GET", url, headers)
        if response.status_code in REFUSED and self.auth.forget():
            response, _, begun = self._follow("GET", url, headers)
        return self._judged(response, url, begun)

    def _follow(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> tuple[DownloadedResponse, str, datetime]:
        """The answer at the end of redirects within our server, its address, and when we asked. A body goes on by 307 and 308 only."""
        for _ in range(REDIRECTS + 1):
            token, begun = self._authorize(), self.clock()
            response = self.send(method, url, {**headers, **token}, self.download.page, body)
            if not response.is_redirect or (method != "GET" and response.status_code not in SAME_METHOD):
                return response, url, begun
            url = self._ours(urljoin(url, response.headers["Location"]))
        raise AdapterError("too many redirects from the server", permanent=True)

    def _judged(self, response: DownloadedResponse, url: str, begun: datetime) -> Response | None:
        status = response.status_code
        if 200 <= status < 300:
            return Response(response.content, url, *self._times(response, begun))
        if status in (404, 410):
            return None
        asked = self.asked(response.headers)
        told = f"the server returned {status}{outcome.told(response.content)}{retry.told(asked)}"
        if status in retry.TRANSIENT:
            raise Retryable(StatusError(told, status, retry_after=asked))
        if status in REFUSED:
            raise StatusError(f"{told}: access denied; check auth and the granted scopes", status, permanent=True)
        raise NotUnderstood(told, status, permanent=True)

    def _token_reply(self, wanted: TokenRequest) -> TokenReply:
        form = dict(wanted.form) if wanted.form is not None else None
        method, who = ("GET", SERVER) if form is None else ("POST", TOKEN_ENDPOINT)
        response = self.send(method, wanted.url, {"Accept": "application/json"}, TOKEN, form, who=who)
        if response.status_code in retry.TRANSIENT:
            asked = self.asked(response.headers)
            told = f"the token endpoint returned {response.status_code}{retry.told(asked)}"
            raise Retryable(AdapterError(told, retry_after=asked))
        return TokenReply(response.status_code, response.content)

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
        """One request exactly as given: who calls sees to it that a token goes only where it may. Its answer is within the bounds."""
        begun = time.monotonic()
        with _failures(who):
            return received(self._opened(method, url, headers, body), bounds, begun)

    def open(self, url: str, headers: Headers) -> requests.Response:
        """The same for an answer that is read by who calls, piece by piece."""
        with _failures():
            return self._opened("GET", url, headers, None)

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

    def asked(self, headers: Mapping[str, str]) -> float | None:
        """In how many seconds the server wants to be asked again, where it says so."""
        return fields.seconds_asked(headers.get("Retry-After"), self.clock())

    def _times(self, response: DownloadedResponse, begun: datetime) -> tuple[datetime, datetime]:
        """The server's time, and no later than when it began to answer: by its clock and by ours."""
        return fields.times(response.headers.get("Date"), begun, self.clock())


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
