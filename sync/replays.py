"""Replays a selection of rejections, or previews that: for the command line and the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from store.errors import PayloadUnreadable
from store.preference import RecordOutcome
from store.runs.runs import Rejection
from sync.dry_run import DryRun
from sync.replay import preview, replay
from sync.runtime import Parts, adapter, lane


class Replays:
    """Selections by id; who chooses them sees to it that they are the caller's own."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.quarantine = parts, parts.journal.quarantine
        self.unopened: list[str] = []
        """Why payloads could not be opened, one sentence for each."""

    def again(self, numbers: Iterable[str], actor: str) -> list[dict[str, Any]]:
        """Each in a transaction of its own: what became of it, and its status now. Raises ``Unusable`` for a source that is gone."""
        return [self._again(number, actor) for number in numbers]

    def preview(self, numbers: Sequence[str]) -> DryRun:
        """All of one source together, so that what they say of one patient counts once. Changes nothing."""
        result, found = DryRun(), [self.quarantine.summary(number) for number in numbers]
        for source in dict.fromkeys(one.source for one in found):
            feed = self.parts.feed(source)
            mine = [one for one in found if one.source == source]
            chosen = (rejection for one in mine if (rejection := self._readable(one.id)) is not None)
            preview(self.parts.engine, lane(feed), adapter(feed).mapper, chosen, result)
        return result

    def _again(self, number: str, actor: str) -> dict[str, Any]:
        rejection = self._readable(number)
        if rejection is None:
            status = self.quarantine.summary(number).status
            return {"id": number, "outcome": RecordOutcome.REJECTED, "reason": "payload_unreadable", "status": status}
        feed = self.parts.feed(rejection.source)
        answer = replay(self.parts.engine, lane(feed), adapter(feed).mapper, rejection, actor)
        return {"id": number, "outcome": answer.outcome, "reason": answer.reason, "status": self.quarantine.summary(number).status}

    def _readable(self, number: str) -> Rejection | None:
        """The rejection, unless its payload was erased or its key is gone: that must not stop the others."""
        try:
            return self.parts.journal.rejection(number)
        except PayloadUnreadable as error:
            self.unopened.append(str(error))
            return None
