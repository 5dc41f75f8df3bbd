"""One measured figure with its floor and its goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.done import listed
from bench.turns import Range, Rate


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured ``value`` in ``unit``, and its ``floor`` in the same unit: the minimum work that any program must do here.

    ``cpu_us`` and ``floor_cpu_us`` are the processor time of one in microseconds, with that of PostgreSQL's processes where noted: it
    says more than a rate while the machine has other work. ``counts`` says what was done, so that no rate counts work that was not.
    ``range``, ``cpu_range`` and ``floor_cpu_range`` are the lowest and highest of several rounds.
    ``least`` is the smallest acceptable value, ``least_ratio`` the smallest ``value / floor``, ``least_cpu_ratio`` the smallest
    ``floor_cpu_us / cpu_us``, ``most`` the largest value.
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
    cpu_us: float | None = None
    floor_cpu_us: float | None = None
    least_cpu_ratio: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    range: Range | None = None
    cpu_range: Range | None = None
    floor_cpu_range: Range | None = None

    @classmethod
    def of(cls, bench: str, what: str, real: Rate, unit: str, floor: Rate, floor_is: str, **more: Any) -> Figure:
        """The figure of a rate that was measured in turns with its floor. ``more``: other fields."""
        return cls(
            bench, what, real.rate, unit, floor.rate, floor_is, cpu_us=real.cpu_us, floor_cpu_us=floor.cpu_us, counts=real.counts,
            range=real.range, cpu_range=real.cpu_range, floor_cpu_range=floor.cpu_range, **more,
        )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuses a rate that does not tell what was done."""
        if self.unit.endswith("/s") and not sum(self.counts.values()):
            raise ValueError(f"{self.bench}: {self.what}: a rate without counts of what was done")

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def cpu_ratio(self) -> float | None:
        return self.floor_cpu_us / self.cpu_us if self.floor_cpu_us and self.cpu_us else None

    @property
    def reached(self) -> bool:
        """Whether every goal is met. Without a goal: yes."""
        ratio, cpu_ratio = self.ratio, self.cpu_ratio
        return (
            (self.least is None or self.value >= self.least)
            and (self.most is None or self.value <= self.most)
            and (self.least_ratio is None or (ratio is not None and ratio >= self.least_ratio))
            and (self.least_cpu_ratio is None or (cpu_ratio is not None and cpu_ratio >= self.least_cpu_ratio))
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
        if self.least_cpu_ratio is not None:
            parts.append(f"≥ {self.least_cpu_ratio:g} of floor by processor time")
        return ", ".join(parts)

    @property
    def done(self) -> str:
        """What was done, as text."""
        return listed(self.counts)

    def as_json(self) -> dict[str, Any]:
        derived = {"ratio": self.ratio, "cpu_ratio": self.cpu_ratio, "goal": self.goal, "reached": self.reached}
        return asdict(self) | derived | {"counts": dict(self.counts)}  # asdict counts the entries of a Counter
