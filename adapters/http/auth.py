"""Proving who we are, as algorithms without I/O: each yields the requests it needs made and is sent their replies.

Here is what every protocol has in common: fixed credentials, and a token that is bought for a while.
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
DEFAULT_LIFE = 300.0  # RFC 6749 lets expires_in out; SMART recommends at most this
LONGEST_LIFE = 86_400.0  # a token that claims to be good for longer, or for ever, is bought again after a day
SERVER, TOKEN_ENDPOINT = "the server", "the token endpoint"
"""Who did not answer, in an error."""
FIXED = ("none", "bearer", "basic")


class TokenRequest(NamedTuple):
    """A request that the algorithm needs made; a ``form`` is posted, without one it is a GET. No token goes with it."""

    url: str
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = MappingProxyType({})


class TokenReply(NamedTuple):
    """What came, unless it is worth asking again: the client does that by itself."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any] | None:
        """The object that it is, or ``None``."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


Headers = dict[str, str]
Flow = Generator[TokenRequest, TokenReply, Headers]
Purchase = Generator[TokenRequest, TokenReply, Mapping[str, Any]]
Clock = Callable[[], datetime]


class Auth(Protocol):
    """``headers`` is the flow that ends in the headers to send; ``forget`` drops what was refused and says whether to try again."""

    def headers(self) -> Flow: ...

    def forget(self) -> bool: ...


def carried_out(flow: Flow, ask: Callable[[TokenRequest], TokenReply]) -> Headers:
    """The headers at the end of a flow; ``ask`` makes each request that it needs."""
    try:
        wanted = next(flow)
        while True:
            wanted = flow.send(ask(wanted))
    except StopIteration as end:
        headers: Headers = end.value
        return headers


class Static:
    """The same headers always: no authentication, a fixed bearer token, or a name and password."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def headers(self) -> Flow:
        yield from ()  # nothing needs to be asked
        return self._headers

    def forget(self) -> bool:
        return False


class BoughtToken:
    """An access token, bought again when it is about to expire or was refused. Protocols differ in how: :meth:`buy`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._token, self._until = "", 0.0

    def buy(self) -> Purchase:
        """Ends in the token endpoint's answer. Raises :class:`~adapters.base.AdapterError` where it grants no token."""
        raise NotImplementedError

    def headers(self) -> Flow:
        if not self._token or self.clock().timestamp() >= self._until:
            self._keep((yield from self.buy()))
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> bool:
        self._token = ""
        return True

    def _keep(self, answer: Mapping[str, Any]) -> None:
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise AdapterError("the token endpoint returned no access_token")
        if not fits_a_header(token):
            raise AdapterError("the token endpoint returned an access_token that is not valid in a header (RFC 6750: visible ASCII)")
        seconds = life(answer.get("expires_in"))
        # A very short life must leave some use: half of it then.
        self._token, self._until = token, self.clock().timestamp() + max(seconds - MARGIN, seconds / 2)


def build(options: Mapping[str, Any], bought: Mapping[str, Callable[[], Auth]]) -> Auth:
    """The authentication that the settings name; ``bought`` are the protocol's own kinds. Opens nothing.

    Raises ``ValueError`` that says what is missing.
    """
    kind = str(options.get("kind") or FIXED[0])
    if kind in bought:
        return bought[kind]()
    if kind == "bearer":
        token = needed(options, "token")
        if not fits_a_header(token):
            raise ValueError("auth.token contains characters that are not valid in a header: use visible ASCII without spaces")
        return Static({"Authorization": f"Bearer {token}"})
    if kind == "basic":
        return Static(basic(needed(options, "username"), needed(options, "password")))
    if kind == "none":
        return Static({})
    raise ValueError(f"auth.kind is {kind!r}: use one of {', '.join((*FIXED, *bought))}")


def needed(options: Mapping[str, Any], name: str) -> str:
    """A setting that the kind cannot do without."""
    value = options.get(name)
    if not value:
        raise ValueError(f"auth.{name} is missing: auth.kind {options.get('kind')} needs it")
    return str(value)


def basic(name: str, secret: str) -> Headers:
    """RFC 7617."""
    return {"Authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"}


def life(expires_in: Any) -> float:
    """Seconds that a token is used, from ``expires_in``: a number or a text; servers also send Infinity, NaN and nonsense."""
    try:
        seconds = DEFAULT_LIFE if expires_in is None or isinstance(expires_in, bool) else float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_LIFE
    return DEFAULT_LIFE if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_LIFE)


def fits_a_header(token: str) -> bool:
    """Whether a token can be sent: visible ASCII without spaces. Source: RFC 6750 2.1 (b64token), RFC 9110 5.5."""
    return bool(token) and all("!" <= character <= "~" for character in token)
