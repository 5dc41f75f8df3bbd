"""What the histories of one clinic share: the clock, how patients are known, and which mapping reads which source when.

Where the rules leave room, or the store refuses more than they ask, the model leaves the answer open; it never does where the store
would permit more:

L1  of one record, what comes late after a merge does not lift a refusal from before it, though it is later (decided so)
L2  of methods or lists of phones that overlap, the later receipt or what is later than one of them does not always count
L8  what could not be read is marked although something readable is later, while a refusal overlaps both: either refuses
L9  after a merge, what overlaps something that is known already settles nothing, also what is older than both
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
"""ZCP-2 and those behind it."""
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
"""Whether the mapping of a clinic changes; and then, whether every code is always in it."""


@dataclass(frozen=True)
class Setting:
    """What the histories of one clinic share: the clock, and which mapping reads a source from which wave on.

    ``changes``: wave -> (source, its mapping, whether everything is read again at once). ``linked``: the sources know patients by numbers
    of their own.
    """

    clock: tuple[datetime, ...]
    first: dict[str, Mapping]
    changes: dict[int, tuple[str, Mapping, bool]]
    linked: bool
    kind: str = STEADY

    def tables(self, wave: int) -> dict[str, Mapping]:
        """How each source is read in a wave."""
        return self.first | {source: mapping for at, (source, mapping, _) in sorted(self.changes.items()) if at <= wave}


def setting(random: Random) -> Setting:
    """Mostly one mapping all the time; else one that changes, perhaps back again."""
    clock = [BEGIN + random.choice([timedelta(0), timedelta(hours=3, minutes=29, seconds=59)])]
    for _ in range(WAVES):
        clock.append(clock[-1] + random.choice(GAPS))
    kind = random.choices([STEADY, TOTAL, PARTIAL], [60, 20, 20])[0]
    absent = random.choice(["no_statement", "no_statement", "no_statement", "clear", "most_restrictive"])
    first = {source: drawn(random, kind, absent) if kind == TOTAL else usual(random, absent) for source in (A, B)}
    changes = {} if kind == STEADY else changed_mappings(random, kind, absent, first)
    return Setting(tuple(clock), first, changes, random.random() < 0.25, kind)


def usual(random: Random, absent: str) -> Mapping:
    """What a site has in earnest."""
    unknown = random.choice(UNKNOWN_CODES)
    return {name: Table(table.values, unknown, absent) for name, table in RIGHT.items()}


def changed_mappings(random: Random, kind: str, absent: str, first: dict[str, Mapping]) -> dict[int, tuple[str, Mapping, bool]]:
    """Waves in which a mapping becomes another, or the first again."""
    source, waves = random.choice([A, A, B]), sorted(random.sample(range(1, WAVES), random.choice([1, 2, 3])))
    changes = {wave: (source, drawn(random, kind, absent), random.random() < 0.7) for wave in waves}
    if random.random() < 0.6:
        changes[waves[-1]] = (source, first[source], random.random() < 0.7)
    return changes


def drawn(random: Random, kind: str, absent: str) -> Mapping:
    """Any mapping of the same fields."""
    more = ["no_statement", "unknown"] if kind == TOTAL else ["no_statement", "unknown", ""]
    return {name: Table(codes(random, [*words, *words, *more]), random.choice(UNKNOWN_CODES), absent) for name, words in WORDS.items()}


def codes(random: Random, meanings: list[str]) -> dict[str, str]:
    drawn = {code: random.choice(meanings) for code in CODES}
    return {code: meaning for code, meaning in drawn.items() if meaning} or {"Y": meanings[0]}


def calmer(scene: Setting, fails: Callable[[Setting], bool]) -> Setting:
    """The same with as few changes of a mapping as still fail."""
    for wave in list(scene.changes):
        plainer = replace(scene, changes={at: change for at, change in scene.changes.items() if at != wave})
        scene = plainer if fails(plainer) else scene
    return scene


def described(scene: Setting, attribute: str) -> list[str]:
    """How an attribute is read: at first, and from a change on."""
    named = [f"{name}: {mapping[attribute]}" for name, mapping in scene.first.items() if attribute in mapping]
    changed = [
        f"from wave {wave} ({scene.clock[wave]:%d %H:%M:%S}) {source}: {mapping.get(attribute)}{', read again' if at_once else ''}"
        for wave, (source, mapping, at_once) in scene.changes.items()
    ]
    return [*(["each source has numbers of its own"] if scene.linked else []), *named, *changed]
