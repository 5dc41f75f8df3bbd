"""Replays or previews a selection of rejections, for the command line and the API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from adapters.base import IngestResult
from store.errors import PayloadUnreadable
from store.preference import RecordOutcome
from store.runs.runs import Rejection
from sync.replay import ReplayPreview, preview, replay
from sync.runtime import Runtime, UsageError, adapter, lane


def replay_one(runtime: Runtime, rejection: Rejection, actor: str) -> IngestResult:
    """Replays a rejection of a source or of a messaging provider. Raises ``UsageError`` for a removed one."""
    if rejection.source in runtime.settings.providers:
        from sync.inbound import Inbound  # with the HTTP API, which listing rejections does not need

        return Inbound(runtime).replay(rejection, actor)
    feed = runtime.feed(rejection.source)
    return replay(runtime.engine, lane(feed), adapter(feed).mapper, rejection, actor)


class Replays:
    """Replays selections by id. The caller must make sure that the ids are of the right enterprise."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.rejection_store = runtime, runtime.journal.rejection_store
        self.unopened: list[str] = []
        """Why payloads could not be decrypted, one sentence for each."""

    def replay_all(self, numbers: Iterable[str], actor: str) -> list[dict[str, Any]]:
        """Replays each in its own transaction and returns its result and status. Raises ``UsageError`` for a removed source."""
        return [self._replay(number, actor) for number in numbers]

    def preview(self, numbers: Sequence[str]) -> ReplayPreview:
        """What replaying would change: the rejections of a source together, so that a patient is counted once. Changes nothing."""
        result, found = ReplayPreview(), [self.rejection_store.summary(number) for number in numbers]
        for source in dict.fromkeys(one.source for one in found):
            if source in self.runtime.settings.providers:
                raise UsageError(f"{source} is a messaging provider: its events are replayed one by one, without a preview")
            feed = self.runtime.feed(source)
            of_source = [one for one in found if one.source == source]
            preview(self.runtime.engine, lane(feed), adapter(feed).mapper, self._openable(of_source, result), result)
        return result

    def _openable(self, rejections: Iterable[Rejection], result: ReplayPreview) -> Iterator[Rejection]:
        """The rejections with their payloads. One that cannot be decrypted keeps its status."""
        for one in rejections:
            if (rejection := self._readable(one.id)) is not None:
                yield rejection
            else:
                result.statuses[one.status] += 1

    def _replay(self, number: str, actor: str) -> dict[str, Any]:
        rejection = self._readable(number)
        if rejection is None:
            return {
                "id": number,
                "outcome": RecordOutcome.REJECTED,
                "reason": "payload_unreadable",
                "status": self.rejection_store.summary(number).status,
            }
        answer = replay_one(self.runtime, rejection, actor)
        return {"id": number, "outcome": answer.outcome, "reason": answer.reason, "status": self.rejection_store.summary(number).status}

    def _readable(self, number: str) -> Rejection | None:
        """The rejection; ``None`` if its payload was erased or its key is missing, which must not stop the others."""
        try:
            return self.runtime.journal.rejection(number)
        except PayloadUnreadable as error:
            self.unopened.append(str(error))
            return None
