"""The gaps of an export: what is missing, and why. With gaps, the cursor does not move. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.base import IncompleteFetch
from adapters.fhir.bulk.job import PendingExport

MOST_REASONS = 3
EFFECT = "received data was applied; the cursor did not move, so the next export requests the same range"
SEE_PREVIOUS_RUN = "see the rejections of the previous run"


@dataclass(slots=True)
class Gaps:
    """The gaps in the exports of one run. ``reasons``: for people. ``broken``: the reasons of incomplete files."""

    reasons: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def add_file(self, reason: str) -> None:
        """Adds an incomplete file."""
        self.reasons.append(reason)
        self.broken.append(reason)

    def note(self, under_way: PendingExport | None) -> str:
        """The note about an export with gaps, also if an earlier run found them."""
        if not under_way or not under_way.left_out:
            return ""
        self.reasons = self.reasons or [SEE_PREVIOUS_RUN]
        return f"the export was incomplete ({_summary(self.reasons)}): {EFFECT}"

    def raise_if_broken(self) -> None:
        """Raises :class:`~adapters.base.IncompleteFetch` if a file was incomplete. It is not requested again: servers limit exports."""
        if self.broken:
            raise IncompleteFetch(_summary(self.reasons), again=False)


def _summary(reasons: list[str]) -> str:
    return "; ".join(list(dict.fromkeys(reasons))[:MOST_REASONS])
