"""What a drill found: one row. Seconds are the longest time in which nobody was answered for good."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """``lost``: acknowledged messages that nobody has; ``doubled``: applied twice; ``wrong``: patients whose state is not the last
    acknowledged; ``permitted``: decisions to send to patients who refuse; ``accepted``: decisions to send to others, without which
    ``permitted`` could not be anything but 0. ``intake`` and ``decisions`` are seconds of outage. ``readiness``, ``metrics`` and ``log``
    are where it showed. ``target``: the seconds that ``measured`` may take, where there is one.
    """

    drill: str
    database: str
    sent: int
    lost: int
    doubled: int
    wrong: int
    permitted: int
    accepted: int
    intake: float
    decisions: float
    codes: str
    manual: str
    readiness: str
    metrics: str
    log: str
    measured: str = ""
    seconds: float | None = None
    target: float | None = None

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost, doubled, wrong or permitted, others could be contacted, and the target was reached."""
        safe = self.accepted > 0 and not (self.lost or self.doubled or self.wrong or self.permitted)
        return safe and (self.target is None or (self.seconds is not None and self.seconds <= self.target))

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return asdict(self) | {"is_well": self.is_well}
