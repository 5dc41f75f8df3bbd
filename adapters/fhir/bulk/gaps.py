"""What an export left out, and why: nothing for which the time may move. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.base import IncompleteFetch
from adapters.fhir.bulk.job import PendingExport

MOST_TOLD = 3
MEANWHILE = "received data was applied; the cursor did not move, so the next export requests the same range"
EARLIER = "see the rejections of the previous run"


@dataclass(slots=True)
class Gaps:
    """Of the exports of one run. ``reasons`` are for people; ``broken`` are those of files that are not whole."""

    reasons: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def file(self, reason: str) -> None:
        """A file that is not whole."""
        self.reasons.append(reason)
        self.broken.append(reason)

    def note(self, under_way: PendingExport | None) -> str:
        """What to tell about an export with gaps, also where they were found by an earlier run."""
        if not under_way or not under_way.left_out:
            return ""
        self.reasons = self.reasons or [EARLIER]
        return f"the export was incomplete ({_short(self.reasons)}): {MEANWHILE}"

    def ended(self) -> None:
        """Raises :class:`~adapters.base.IncompleteFetch` if a file was incomplete. It is not requested again: servers limit exports."""
        if self.broken:
            raise IncompleteFetch(_short(self.reasons), again=False)


def _short(reasons: list[str]) -> str:
    return "; ".join(list(dict.fromkeys(reasons))[:MOST_TOLD])
