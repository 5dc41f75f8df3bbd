"""Authentication of callers by API key (Bearer, RFC 6750). Each key has one enterprise and one role."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from store.domain.lock import Grant, Role
from store.users.api_keys import ApiKey, ApiKeys
from store.web.http.lanes import Lanes
from store.web.http.problem import ProblemDetails

KEPT_SECONDS = 2.0
MOST_KEPT = 10_000


class Callers:
    """Checks keys. A valid one is remembered for two seconds, so a revoked key works for that long at most."""

    def __init__(
        self,
        keys: ApiKeys,
        enterprises: Collection[str],
        lanes: Lanes,
        clock: Callable[[], datetime],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys, self.enterprises, self.lanes, self.clock, self.ticks = keys, enterprises, lanes, clock, ticks
        self._remembered: dict[bytes, tuple[ApiKey, float]] = {}
        self._lock = threading.Lock()

    def remembered(self, headers: Mapping[str, str]) -> ApiKey | None:
        """The caller, if the key was checked a moment ago. Does not use the database."""
        known = self._remembered.get(_digest(bearer(headers)))
        return known[0] if known is not None and known[1] > self.ticks() else None

    async def verify_in_thread(self, headers: Mapping[str, str]) -> ApiKey:
        """Like :meth:`verify`, in threads reserved for this."""
        return await self.lanes.keys.run(self.verify, headers)

    def verify(self, headers: Mapping[str, str]) -> ApiKey:
        """The caller, from the database. Raises :class:`ProblemDetails` 401 for an unknown, revoked or expired key."""
        token = bearer(headers)
        now = self.clock()
        key = self.keys.verify(token, now)
        if key is None:
            raise _unauthorized("invalid_token", "the API key is unknown, revoked or expired")
        if key.enterprise not in self.enterprises:
            raise ProblemDetails(403, "enterprise_unknown", "the enterprise of this API key is no longer configured")
        if not key.use_is_noted(now):
            self.lanes.notes.later(self.keys.note_use, key.id, now)  # in the background: a run may hold the write lock
        self._remember(_digest(token), key)
        return key

    def _remember(self, digest: bytes, key: ApiKey) -> None:
        with self._lock:
            if len(self._remembered) >= MOST_KEPT:
                self._remembered.clear()
            self._remembered[digest] = (key, self.ticks() + KEPT_SECONDS)


def bearer(headers: Mapping[str, str]) -> str:
    """The key in the request. Raises :class:`ProblemDetails` 401 if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized("", "send your API key: Authorization: Bearer …")
    return token.strip()


def require(key: ApiKey, roles: Collection[str], grant: str | None = None) -> None:
    """Raises :class:`ProblemDetails` 403 for a role not in ``roles``, and for a sender's key without the required ``grant``."""
    if grant is not None and key.role == Role.SENDER:
        if grant in key.grants:
            return
        raise ProblemDetails(403, "grant_missing", f"a sender key needs the grant {grant} for this: emr-sync keys grant {key.id} {grant}")
    if key.role not in roles:
        raise ProblemDetails(403, "role_refused", f"the role {key.role} may not do that; required: {' or '.join(sorted(roles))}")


def _digest(token: str) -> bytes:
    """The digest of a key, so that no secret stays in memory longer than its request."""
    return hashlib.sha256(token.encode()).digest()


def _unauthorized(error: str, detail: str) -> ProblemDetails:
    challenge = f'Bearer realm="emr-sync", error="{error}"' if error else 'Bearer realm="emr-sync"'
    return ProblemDetails(401, "unauthorized", detail, {"www-authenticate": challenge})


async def caller(headers: Mapping[str, str], callers: Callers, roles: frozenset[Role], grant: Grant | None = None) -> ApiKey:
    """The caller's key. Raises :class:`ProblemDetails` 401 or 403. Reads the database only for a key that was not seen recently."""
    key = callers.remembered(headers)
    if key is None:
        key = await callers.verify_in_thread(headers)
    require(key, roles, grant)
    return key
