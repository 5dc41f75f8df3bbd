"""One measured figure with its floor and its goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured ``value`` in ``unit``, and its ``floor`` in the same unit: the minimum work that any program must do here.

    ``least`` is the smallest acceptable value, ``least_ratio`` the smallest acceptable ``value / floor``, ``most`` the largest value.
    """

    bench: str
    what: str
    value: float
    unit: str
    floor: float | None = None
    floor_is: str = ""
    least: float | None = None
    least_ratio: float | None = None
    most: float | None = None
    database: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def reached(self) -> bool:
        """Whether every goal is met. Without a goal: yes."""
        ratio = self.ratio
        return (
            (self.least is None or self.value >= self.least)
            and (self.most is None or self.value <= self.most)
            and (self.least_ratio is None or (ratio is not None and ratio >= self.least_ratio))
        )

    @property
    def goal(self) -> str:
        """The goal as text."""
        parts = []
        if self.least is not None:
            parts.append(f"≥ {self.least:,.0f}")
        if self.most is not None:
            parts.append(f"≤ {self.most:,g}")
        if self.least_ratio is not None:
            parts.append(f"≥ {self.least_ratio:g} of floor")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio, "goal": self.goal, "reached": self.reached}
