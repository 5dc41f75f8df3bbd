"""The client for asyncio: the same calls, each in a thread of its own pool, so that the event loop never waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from emr_sync_client.client import IN_ONE_GROUP, IN_ONE_REQUEST, SenderClient
from emr_sync_client.model import Ask, Decision

T = TypeVar("T")


class AsyncSenderClient:
    """Like :class:`SenderClient`, whose arguments it takes. ``parallel``: how many requests there may be at once."""

    def __init__(self, base_url: str, key: str, *, parallel: int = 8, **options: Any) -> None:
        self._client = SenderClient(base_url, key, **options)
        self._threads = ThreadPoolExecutor(parallel, "emr-sync-client")

    async def decide(self, ask: Ask) -> Decision:
        """Whether this message may be sent. In any doubt the decision is not to send."""
        return await self._run(lambda: self._client.decide(ask))

    async def decide_many(self, asks: Iterable[Ask]) -> AsyncIterator[tuple[Ask, Decision]]:
        """Yields each question with its decision, in order."""
        remaining = iter(asks)
        while group := list(islice(remaining, IN_ONE_REQUEST)):
            pairs: list[tuple[Ask, Decision]] = await self._run(partial(list, self._client.decide_many(group)))
            for pair in pairs:
                yield pair

    async def decide_stream(self, asks: Iterable[Ask]) -> AsyncIterator[tuple[Ask, Decision]]:
        """The same in one request without an end (NDJSON): decisions come while ``asks`` goes on."""
        pairs = self._client.decide_stream(asks)
        while group := await self._run(lambda: list(islice(pairs, IN_ONE_GROUP))):
            for pair in group:
                yield pair

    async def aclose(self) -> None:
        """Ends when the requests in progress have ended."""
        await asyncio.to_thread(self._threads.shutdown)
        self._client.close_all()

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
