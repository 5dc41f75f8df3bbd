"""Everything that was delivered to the store in one random history, and how it is laid out again in the order it became true.

The walk knows nothing of rows, digests, batches, versions of patients or what was seen before, and takes no account of the order of
arrival. A merge that was undone is taken out of the history as though it had never been; an opt-out that a source first said since then
and that stands for both when they part is then said of each. A source that is retired goes on under a name of its own, as what
staff has of it; undone, it is the source's again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

DNC, METHOD = "do_not_contact", "preferred_method"
OPT_OUTS: Mapping[str, str] = {
    DNC: "yes",
    METHOD: "none",
    "consent.sms": "denied",
    "consent.voice": "denied",
    "topic.recall.sms": "denied",
}
NEEDS_SYNC = tuple(OPT_OUTS)
STAFF = "staff"
UNREADABLE = "unreadable "
"""Before the name of an attribute: whether the newest evidence about it could not be read."""
MAY_BE_UNREADABLE = tuple(name for name in OPT_OUTS if name != METHOD)
Moment = tuple[float, int]
"""A place in the order in which things became true: seconds, and the version of the record at that time."""
BEFORE_ALL: Moment = (-1.0, 0)
UNVERSIONED = 1_000_000
"""Where an opt-out without a version is placed among versions of its time: nobody can tell, so behind them all."""


class When(NamedTuple):
    """Some moment from ``earliest`` to ``latest``; ``version`` is 0 where the record has none."""

    earliest: float
    latest: float
    version: int = 0

    def place(self, *, opts_out: bool) -> Moment:
        """Where it goes in a history in which whatever nobody can tell is ordered so that more is refused."""
        return (self.latest, self.version or UNVERSIONED) if opts_out else (self.earliest, self.version)

    def is_comparable(self, other: When) -> bool:
        """Whether it can be told which of the two is newer."""
        apart = self.latest < other.earliest or other.latest < self.earliest
        return apart or (self.version != other.version and 0 not in (self.version, other.version))


ALWAYS = When(*BEFORE_ALL[:1], *BEFORE_ALL[:1])


class Said(NamedTuple):
    """What one authority stated about one record. ``receipt`` counts deliveries."""

    authority: str
    record: str
    true_at: When
    receipt: int
    stated: Mapping[str, Any]

    def place(self, attribute: str) -> Moment:
        """Where it is placed for one attribute."""
        return self.true_at.place(opts_out=self.stated.get(attribute) == refusal(attribute))


class Joined(NamedTuple):
    """Two records are one person."""

    survivor: str
    merged: str
    true_at: Moment
    receipt: int

    def place(self, _: str) -> Moment:
        """Where it is placed for one attribute: for each the same."""
        return self.true_at


class Retired(NamedTuple):
    """A source was retired: under which name its words go on, when, and whether they were in force then.

    ``at``: when that was, by our clock. ``superseded``: what staff had said of Do Not Contact before is not staff's word any more
    (receipts).
    """

    source: str
    heir: str
    receipt: int
    in_force: bool
    at: float
    superseded: frozenset[int] = frozenset()


Event = Said | Joined
Order = Callable[[Event, str], Any]
Standing = dict[str, tuple[Any, Any]]
"""Record (the first of its group) -> when it was said, and the value."""


def refusal(attribute: str) -> Any:
    """The value of an attribute that survives whatever nobody can tell."""
    return True if attribute.startswith(UNREADABLE) else OPT_OUTS.get(attribute, "never")


def as_it_became_true(event: Event, attribute: str) -> Any:
    """Sources: by effective time and version."""
    return event.place(attribute)


def as_it_was_received(event: Event, _: str) -> Any:
    """People: they take turns."""
    return event.receipt


@dataclass
class History:
    """What was delivered, without what was undone."""

    sources: Sequence[str]
    events: list[Event] = field(default_factory=list)
    retired: list[Retired] = field(default_factory=list)
    met: list[tuple[str, str]] = field(default_factory=list)
    receipts: int = 0

    def said(self, authority: str, record: str, true_at: When, stated: Mapping[str, Any]) -> None:
        """A statement was delivered. Who speaks of a patient here speaks of all its records."""
        about = self.members(record) if authority == STAFF else [record]
        self.events += [Said(authority, name, true_at, self._receipt(), stated) for name in about]

    def joined(self, survivor: str, merged: str, seconds: float) -> None:
        """A merge was delivered."""
        self.met.append((survivor, merged))
        self.events.append(Joined(survivor, merged, (seconds, 0), self._receipt()))

    def parted(self, restored: Collection[str]) -> None:
        """The merge by which these records had become one with others was undone."""
        (merge,) = (one for one in self.merges() if (one.survivor in restored) != (one.merged in restored))
        carried = [(who, *one) for who in self.authorities() for one in self._since(who, merge)]
        self.events.remove(merge)
        for authority, attribute, when in carried:
            for name in (merge.survivor, merge.merged):
                self.events.append(Said(authority, name, when, self._receipt(), {attribute: OPT_OUTS[attribute]}))

    def retire(self, source: str, seconds: float, *, in_force: bool) -> None:
        """A source was retired. What was not in force is not kept."""
        heir = f"{source}, retired {self._receipt()}"
        self._rename(source, heir)
        self.retired.append(Retired(source, heir, self.receipts, in_force, seconds))

    def restore(self, source: str) -> None:
        """Retiring a source was undone."""
        last = next(one for one in reversed(self.retired) if one.source == source)
        self.retired.remove(last)
        self._rename(last.heir, source)
        self.events = [one for one in self.events if one.receipt not in last.superseded]

    def authorities(self) -> list[str]:
        """Sources, and what staff has of retired ones, the last first."""
        return [*self.sources, *(one.heir for one in reversed(self.retired))]

    def merges(self) -> list[Joined]:
        """The merges that stand."""
        return [one for one in self.events if isinstance(one, Joined)]

    def group(self, record: str) -> str:
        """The records that are one with it, by the first of their names."""
        return _groups((one.survivor, one.merged) for one in self.merges()).get(record, record)

    def members(self, record: str) -> list[str]:
        """The names of the records that are one with it."""
        groups = _groups((one.survivor, one.merged) for one in self.merges())
        return [name for name, group in groups.items() if group == groups.get(record)] or [record]

    def ever_met(self, record: str) -> set[str]:
        """The records that were ever one with it, or with one of those; itself alone where it was never merged."""
        groups = _groups(self.met)
        return {name for name, group in groups.items() if group == groups.get(record)} or {record}

    def standing(self, authority: str, attribute: str, record: str) -> tuple[Any, Any]:
        """When an authority's newest evidence was said, and what: the walk of the module's text. ``None``: nothing."""
        order = as_it_was_received if authority == STAFF else as_it_became_true
        return self._walk(authority, attribute, order).get(self.group(record), (BEFORE_ALL, None))

    def current(self, authority: str, attribute: str, record: str) -> Any:
        """What an authority's newest evidence says. A late word of a source is outdated by what it had said before it was retired.

        So it is once the source was retired again: staff then has what it said in between beside that, and all of it is one source's.
        """
        when, value = self.standing(authority, attribute, record)
        return None if any(self.standing(heir, attribute, record)[0] > when for heir in self._past(authority)) else value

    def _past(self, authority: str) -> list[str]:
        """Under which names the words of the same source go that it had spoken before. What was not in force then is forgotten."""
        mine = next((one for one in self.retired if one.heir == authority), None)
        source, receipt = (mine.source, mine.receipt) if mine else (authority, self.receipts + 1)
        return [one.heir for one in self.retired if one.source == source and one.receipt < receipt and one.in_force]

    def before(self, event: Event) -> History:
        """What was known just before."""
        known = [one for one in self.events if one.receipt < event.receipt]
        return replace(self, events=known, retired=[one for one in self.retired if one.receipt < event.receipt])

    def _receipt(self) -> int:
        self.receipts += 1
        return self.receipts

    def _rename(self, old: str, new: str) -> None:
        self.events = [one._replace(authority=new) if isinstance(one, Said) and one.authority == old else one for one in self.events]

    def _since(self, authority: str, merge: Joined) -> Iterable[tuple[str, When]]:
        """Opt-outs that stand for both records of a merge, by a statement that came since and is news."""
        met = self.ever_met(merge.survivor)
        told = [one for one in self.events if isinstance(one, Said) and one.authority == authority and one.record in met]
        for attribute, opt_out in OPT_OUTS.items():
            when, value = self.standing(authority, attribute, merge.survivor)[0], self.current(authority, attribute, merge.survivor)
            said = [one for one in told if one.stated.get(attribute) == opt_out]
            news = not any(one.receipt < merge.receipt for one in said)
            origin = next((one.true_at for one in said if one.place(attribute) == when), None)
            if value == opt_out and news and origin is not None:
                yield attribute, origin

    def _walk(self, authority: str, attribute: str, order: Order) -> Standing:
        groups: dict[str, str] = {}
        standing: Standing = {}
        for event in sorted(self.events, key=lambda one: order(one, attribute)):
            if isinstance(event, Joined):
                _join(groups, standing, event, attribute, order(event, attribute))
            elif event.authority == authority and attribute in event.stated:
                standing[groups.get(event.record, event.record)] = order(event, attribute), event.stated[attribute]
        return standing


def _join(groups: dict[str, str], standing: Standing, event: Joined, attribute: str, when: Any) -> None:
    pair = {groups.get(name, name) for name in (event.survivor, event.merged)}
    told = [standing.pop(name) for name in pair if name in standing]
    _put_together(groups, event.survivor, event.merged)
    if told:
        opted_out = any(value == refusal(attribute) for _, value in told)
        standing[groups[event.survivor]] = (when, refusal(attribute)) if opted_out else max(told, key=lambda one: one[0])


def _groups(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    groups: dict[str, str] = {}
    for pair in pairs:
        _put_together(groups, *pair)
    return groups


def _put_together(groups: dict[str, str], survivor: str, merged: str) -> None:
    """Every record of the two groups answers to the first name among them."""
    old = {groups.get(name, name) for name in (survivor, merged)}
    members = {survivor, merged, *old, *(name for name, group in groups.items() if group in old)}
    groups.update(dict.fromkeys(members, min(members)))
