"""Authentication as algorithms without I/O: each yields the requests it needs and is sent their replies.

This file has what all protocols share: fixed credentials, and an access token with a lifetime.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from adapters.base import AdapterError

MARGIN = 30.0  # seconds before its end at which a token is no longer used
DEFAULT_LIFE = 300.0  # RFC 6749 allows expires_in to be missing; SMART recommends at most this
LONGEST_LIFE = 86_400.0  # a token with a longer or unlimited lifetime is replaced after a day
SERVER, TOKEN_ENDPOINT = "the server", "the token endpoint"
"""What an error calls the server that did not answer."""
FIXED = ("none", "bearer", "basic")


class TokenRequest(NamedTuple):
    """A request that the algorithm needs. With a ``form`` it is a POST, otherwise a GET. It carries no token."""

    url: str
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = MappingProxyType({})


class TokenReply(NamedTuple):
    """The reply. The client itself retries transient errors."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any] | None:
        """The JSON object in the body, or ``None``."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


Headers = dict[str, str]
Flow = Generator[TokenRequest, TokenReply, Headers]
TokenFlow = Generator[TokenRequest, TokenReply, Mapping[str, Any]]
Clock = Callable[[], datetime]


class Auth(Protocol):
    """``headers``: the flow that returns the headers to send. ``forget`` drops refused credentials and returns whether to try again."""

    def headers(self) -> Flow: ...

    def forget(self) -> bool: ...


def run_flow(flow: Flow, ask: Callable[[TokenRequest], TokenReply]) -> Headers:
    """The headers that a flow returns. ``ask`` makes each request that it needs."""
    try:
        request = next(flow)
        while True:
            request = flow.send(ask(request))
    except StopIteration as end:
        headers: Headers = end.value
        return headers


class Static:
    """Fixed headers: no authentication, a bearer token, or a name and password."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def headers(self) -> Flow:
        yield from ()  # needs no request
        return self._headers

    def forget(self) -> bool:
        return False


class AccessToken:
    """An access token, replaced when it is about to expire or was refused. Protocols implement :meth:`request_token`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._token, self._until = "", 0.0

    def request_token(self) -> TokenFlow:
        """Returns the token endpoint's answer. Raises :class:`~adapters.base.AdapterError` if it grants no token."""
        raise NotImplementedError

    def headers(self) -> Flow:
        if not self._token or self.clock().timestamp() >= self._until:
            self._store_token((yield from self.request_token()))
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> bool:
        self._token = ""
        return True

    def _store_token(self, answer: Mapping[str, Any]) -> None:
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise AdapterError("the token endpoint returned no access_token")
        if not is_valid_in_header(token):
            raise AdapterError("the token endpoint returned an access_token that is not valid in a header (RFC 6750: visible ASCII)")
        seconds = lifetime(answer.get("expires_in"))
        # A token with a very short lifetime is used for half of it.
        self._token, self._until = token, self.clock().timestamp() + max(seconds - MARGIN, seconds / 2)


def build(options: Mapping[str, Any], own_kinds: Mapping[str, Callable[[], Auth]]) -> Auth:
    """The authentication that the settings name. ``own_kinds``: the protocol's own. Makes no request.

    Raises ``ValueError`` that says what is missing.
    """
    kind = str(options.get("kind") or FIXED[0])
    if kind in own_kinds:
        return own_kinds[kind]()
    if kind == "bearer":
        token = required(options, "token")
        if not is_valid_in_header(token):
            raise ValueError("auth.token contains characters that are not valid in a header: use visible ASCII without spaces")
        return Static({"Authorization": f"Bearer {token}"})
    if kind == "basic":
        return Static(basic(required(options, "username"), required(options, "password")))
    if kind == "none":
        return Static({})
    raise ValueError(f"auth.kind is {kind!r}: use one of {', '.join((*FIXED, *own_kinds))}")


def required(options: Mapping[str, Any], name: str) -> str:
    """A setting that the kind requires. Raises ``ValueError`` if it is missing."""
    value = options.get(name)
    if not value:
        raise ValueError(f"auth.{name} is missing: auth.kind {options.get('kind')} needs it")
    return str(value)


def basic(name: str, secret: str) -> Headers:
    """The header of Basic authentication (RFC 7617)."""
    return {"Authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"}


def lifetime(expires_in: Any) -> float:
    """The seconds for which a token is used, from ``expires_in``: a number or text; servers also send Infinity, NaN and nonsense."""
    try:
        seconds = DEFAULT_LIFE if expires_in is None or isinstance(expires_in, bool) else float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_LIFE
    return DEFAULT_LIFE if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_LIFE)


def is_valid_in_header(token: str) -> bool:
    """Whether a token can be sent: visible ASCII without spaces. Source: RFC 6750 2.1 (b64token), RFC 9110 5.5."""
    return bool(token) and all("!" <= character <= "~" for character in token)
