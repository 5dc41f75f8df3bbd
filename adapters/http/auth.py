"""What every way of proving who we are has in common, whatever the protocol: algorithms without I/O.

Each yields the requests it needs made and is sent their replies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

MARGIN = 30.0  # seconds before its end at which a token is no longer used
DEFAULT_LIFE = 300.0  # RFC 6749 lets expires_in out; SMART recommends at most this


SERVER, TOKEN_ENDPOINT = "the server", "the token endpoint"
"""Who did not answer, in an error."""
LONGEST_LIFE = 86_400.0  # a token that claims to be good for longer, or for ever, is bought again after a day


def life(said: Any) -> float:
    """Seconds that a token is used, from what ``expires_in`` says: as a number or a text; servers also send Infinity, NaN and nonsense."""
    try:
        seconds = DEFAULT_LIFE if said is None or isinstance(said, bool) else float(said)
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_LIFE
    return DEFAULT_LIFE if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_LIFE)


def fits_a_header(token: str) -> bool:
    """Whether a token can be sent: visible ASCII without spaces. Source: RFC 6750 2.1 (b64token), RFC 9110 5.5."""
    return bool(token) and all("!" <= character <= "~" for character in token)


class TokenRequest(NamedTuple):
    """A request that the algorithm needs made; a ``form`` is posted, without one it is a GET. No token goes with it."""

    url: str
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = MappingProxyType({})


class TokenReply(NamedTuple):
    status: int
    body: bytes
    retry_after: float | None = None


Headers = dict[str, str]
Flow = Generator[TokenRequest, TokenReply, Headers]
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
