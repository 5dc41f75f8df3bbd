"""What the histories of one clinic share: the clock, the patient identifiers, and the mapping of each source over time.

Where the rules leave room, or the store refuses more than they require, the model leaves the result open. It never does so where the
store would permit more:

L1  a statement about one record that arrives late after a merge does not lift an earlier refusal, although it is later (by decision)
L2  of overlapping methods or phone lists, the last received, or one later than some of them, does not always count
L8  an attribute is marked unreadable although a readable statement is later, while a refusal overlaps both: either refuses
L9  after a merge, a statement that overlaps a known one resolves nothing, not even what is older than both
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from tests.properties.plain_events import DNC, METHOD, SMS, VOICE, Table

BEGIN = datetime(2026, 11, 1, 1, 30, tzinfo=UTC)
"""The evening before the clocks go back in Chicago."""
WAVES = 10
GAPS = [
    timedelta(seconds=1),
    timedelta(minutes=10),
    timedelta(minutes=59),
    *[timedelta(hours=1)] * 4,
    timedelta(hours=7),
    timedelta(days=1),
]
A, B = "a", "b"
FIELDS = (DNC, METHOD, SMS, VOICE)
"""ZCP-2 and the following fields."""
CODES = ("Y", "N", "M", "Q")
WORDS = {
    DNC: ["yes", "no"],
    METHOD: ["none", "sms", "voice"],
    SMS: ["denied", "granted"],
    VOICE: ["denied", "granted"],
}
RIGHT = {
    DNC: Table({"Y": "yes", "N": "no", "M": "unknown"}),
    METHOD: Table({"Y": "none", "N": "sms", "M": "voice"}),
    SMS: Table({"Y": "denied", "N": "granted", "M": "no_statement"}),
    VOICE: Table({"Y": "denied", "N": "granted", "M": "unknown"}),
}
UNKNOWN_CODES = ["reject", "reject", "no_statement", "clear", "most_restrictive"]
Mapping = dict[str, Table]
STEADY, TOTAL, PARTIAL = "steady", "total", "partial"
"""Whether the mapping of a clinic changes, and if so, whether it always has every code."""


@dataclass(frozen=True)
class Setting:
    """What the histories of one clinic share: the clock, and the mapping of each source from each wave on.

    ``changes``: wave -> (source, its mapping, whether everything is reread at once). ``linked``: each source has its own patient numbers.
    """

    clock: tuple[datetime, ...]
    first: dict[str, Mapping]
    changes: dict[int, tuple[str, Mapping, bool]]
    linked: bool
    kind: str = STEADY

    def tables(self, wave: int) -> dict[str, Mapping]:
        """The mapping of each source in a wave."""
        return self.first | {source: mapping for at, (source, mapping, _) in sorted(self.changes.items()) if at <= wave}


def setting(random: Random) -> Setting:
    """Draws a setting: mostly with one fixed mapping, otherwise one that changes and perhaps changes back."""
    clock = [BEGIN + random.choice([timedelta(0), timedelta(hours=3, minutes=29, seconds=59)])]
    for _ in range(WAVES):
        clock.append(clock[-1] + random.choice(GAPS))
    kind = random.choices([STEADY, TOTAL, PARTIAL], [60, 20, 20])[0]
    absent = random.choice(["no_statement", "no_statement", "no_statement", "clear", "most_restrictive"])
    first = {source: drawn(random, kind, absent) if kind == TOTAL else realistic(random, absent) for source in (A, B)}
    changes = {} if kind == STEADY else changed_mappings(random, kind, absent, first)
    return Setting(tuple(clock), first, changes, random.random() < 0.25, kind)


def realistic(random: Random, absent: str) -> Mapping:
    """A mapping as a real site has it."""
    unknown = random.choice(UNKNOWN_CODES)
    return {name: Table(table.values, unknown, absent) for name, table in RIGHT.items()}


def changed_mappings(random: Random, kind: str, absent: str, first: dict[str, Mapping]) -> dict[int, tuple[str, Mapping, bool]]:
    """Draws the waves in which a mapping changes, or changes back to the first."""
    source, waves = random.choice([A, A, B]), sorted(random.sample(range(1, WAVES), random.choice([1, 2, 3])))
    changes = {wave: (source, drawn(random, kind, absent), random.random() < 0.7) for wave in waves}
    if random.random() < 0.6:
        changes[waves[-1]] = (source, first[source], random.random() < 0.7)
    return changes


def drawn(random: Random, kind: str, absent: str) -> Mapping:
    """Draws any mapping of the same fields."""
    more = ["no_statement", "unknown"] if kind == TOTAL else ["no_statement", "unknown", ""]
    return {name: Table(codes(random, [*words, *words, *more]), random.choice(UNKNOWN_CODES), absent) for name, words in WORDS.items()}


def codes(random: Random, meanings: list[str]) -> dict[str, str]:
    drawn = {code: random.choice(meanings) for code in CODES}
    return {code: meaning for code, meaning in drawn.items() if meaning} or {"Y": meanings[0]}


def simplified(scene: Setting, fails: Callable[[Setting], bool]) -> Setting:
    """The setting with as few mapping changes as still fail."""
    for wave in list(scene.changes):
        plainer = replace(scene, changes={at: change for at, change in scene.changes.items() if at != wave})
        scene = plainer if fails(plainer) else scene
    return scene


def described(scene: Setting, attribute: str) -> list[str]:
    """The mapping of an attribute, first and after each change."""
    named = [f"{name}: {mapping[attribute]}" for name, mapping in scene.first.items() if attribute in mapping]
    changed = [
        f"from wave {wave} ({scene.clock[wave]:%d %H:%M:%S}) {source}: {mapping.get(attribute)}{', reread' if at_once else ''}"
        for wave, (source, mapping, at_once) in scene.changes.items()
    ]
    return [*(["each source has its own patient numbers"] if scene.linked else []), *named, *changed]
