"""Everything that was delivered to the store in one random history, replayed in the order in which it became effective.

The walk knows nothing of rows, digests, batches, patient versions or repeats, and ignores the order of arrival. A merge that was undone
is removed from the history. An opt-out that a source first stated after that merge, and that is in force for both records at the
unmerge, then counts as stated about each. The statements of a retired source continue under another name, as inherited by staff;
when the retirement is undone, they belong to the source again.
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
"""Prefix of an attribute name: whether the newest evidence about it is unreadable."""
MAY_BE_UNREADABLE = tuple(name for name in OPT_OUTS if name != METHOD)
Moment = tuple[float, int]
"""A position in the order of effective times: seconds, and the version of the record at that time."""
BEFORE_ALL: Moment = (-1.0, 0)
UNVERSIONED = 1_000_000
"""The position of an opt-out without a version among versions of its time: unknown, so after all of them."""


class When(NamedTuple):
    """Some moment from ``earliest`` to ``latest``; ``version`` is 0 if the record has none."""

    earliest: float
    latest: float
    version: int = 0

    def place(self, *, opts_out: bool) -> Moment:
        """Its position in the history. An uncertain order is resolved so that more is refused."""
        return (self.latest, self.version or UNVERSIONED) if opts_out else (self.earliest, self.version)

    def is_comparable(self, other: When) -> bool:
        """Whether the order of the two is certain."""
        apart = self.latest < other.earliest or other.latest < self.earliest
        return apart or (self.version != other.version and 0 not in (self.version, other.version))


ALWAYS = When(*BEFORE_ALL[:1], *BEFORE_ALL[:1])


class Assertion(NamedTuple):
    """The statements of one authority about one record. ``receipt`` counts deliveries."""

    authority: str
    record: str
    true_at: When
    receipt: int
    stated: Mapping[str, Any]

    def place(self, attribute: str) -> Moment:
        """Its position for one attribute."""
        return self.true_at.place(opts_out=self.stated.get(attribute) == refusal(attribute))


class MergeEvent(NamedTuple):
    """A merge of two records."""

    survivor: str
    merged: str
    true_at: Moment
    receipt: int

    def place(self, _: str) -> Moment:
        """Its position, the same for each attribute."""
        return self.true_at


class Retired(NamedTuple):
    """A retired source: the name of its inherited statements, the time, and whether they were in force then.

    ``at``: the time by our clock. ``superseded``: receipts of the events that end earlier Do Not Contact statements of staff.
    """

    source: str
    heir: str
    receipt: int
    in_force: bool
    at: float
    superseded: frozenset[int] = frozenset()


Event = Assertion | MergeEvent
Order = Callable[[Event, str], Any]
NewestByGroup = dict[str, tuple[Any, Any]]
"""Record (the first of its group) -> the time and value of the newest evidence."""


def refusal(attribute: str) -> Any:
    """The value of an attribute that wins if the order is uncertain."""
    return True if attribute.startswith(UNREADABLE) else OPT_OUTS.get(attribute, "never")


def by_effective_time(event: Event, attribute: str) -> Any:
    """The order for sources: effective time and version."""
    return event.place(attribute)


def by_receipt(event: Event, _: str) -> Any:
    """The order for people: receipt."""
    return event.receipt


@dataclass
class History:
    """Everything that was delivered, without undone events."""

    sources: Sequence[str]
    events: list[Event] = field(default_factory=list)
    retired: list[Retired] = field(default_factory=list)
    all_merges: list[tuple[str, str]] = field(default_factory=list)
    receipts: int = 0

    def add_statement(self, authority: str, record: str, true_at: When, stated: Mapping[str, Any]) -> None:
        """Adds a delivered statement. A statement of staff is about all records of the patient."""
        about = self.members(record) if authority == STAFF else [record]
        self.events += [Assertion(authority, name, true_at, self._receipt(), stated) for name in about]

    def add_merge(self, survivor: str, merged: str, seconds: float) -> None:
        """Adds a delivered merge."""
        self.all_merges.append((survivor, merged))
        self.events.append(MergeEvent(survivor, merged, (seconds, 0), self._receipt()))

    def undo_merge(self, restored: Collection[str]) -> None:
        """Undoes the merge that joined these records with others."""
        (merge,) = (one for one in self.merges() if (one.survivor in restored) != (one.merged in restored))
        carried = [(who, *one) for who in self.authorities() for one in self._since(who, merge)]
        self.events.remove(merge)
        for authority, attribute, when in carried:
            for name in (merge.survivor, merge.merged):
                self.events.append(Assertion(authority, name, when, self._receipt(), {attribute: OPT_OUTS[attribute]}))

    def retire(self, source: str, seconds: float, *, in_force: bool) -> None:
        """Retires a source. Statements that were not in force are not kept."""
        heir = f"{source}, retired {self._receipt()}"
        self._rename(source, heir)
        self.retired.append(Retired(source, heir, self.receipts, in_force, seconds))

    def restore(self, source: str) -> None:
        """Undoes the retirement of a source."""
        last = next(one for one in reversed(self.retired) if one.source == source)
        self.retired.remove(last)
        self._rename(last.heir, source)
        self.events = [one for one in self.events if one.receipt not in last.superseded]

    def authorities(self) -> list[str]:
        """Sources, and the inherited statements of retired sources, newest first."""
        return [*self.sources, *(one.heir for one in reversed(self.retired))]

    def merges(self) -> list[MergeEvent]:
        """The merges in force."""
        return [one for one in self.events if isinstance(one, MergeEvent)]

    def group(self, record: str) -> str:
        """The group of merged records, named by the first of them."""
        return _groups((one.survivor, one.merged) for one in self.merges()).get(record, record)

    def members(self, record: str) -> list[str]:
        """The names of the records merged with it, itself included."""
        groups = _groups((one.survivor, one.merged) for one in self.merges())
        return [name for name, group in groups.items() if group == groups.get(record)] or [record]

    def ever_merged_with(self, record: str) -> set[str]:
        """The records that were ever merged with it, directly or not, itself included."""
        groups = _groups(self.all_merges)
        return {name for name, group in groups.items() if group == groups.get(record)} or {record}

    def newest_evidence(self, authority: str, attribute: str, record: str) -> tuple[Any, Any]:
        """The time and value of an authority's newest evidence, by the walk that the module describes. ``None``: no evidence."""
        order = by_receipt if authority == STAFF else by_effective_time
        return self._walk(authority, attribute, order).get(self.group(record), (BEFORE_ALL, None))

    def current(self, authority: str, attribute: str, record: str) -> Any:
        """The value of an authority's newest evidence. A source's late statement is outdated by a newer one from before its retirement.

        The same holds after a second retirement: staff then inherits both sets of statements, and they count as one source's.
        """
        when, value = self.newest_evidence(authority, attribute, record)
        return None if any(self.newest_evidence(heir, attribute, record)[0] > when for heir in self._past(authority)) else value

    def _past(self, authority: str) -> list[str]:
        """The names of earlier inherited statements of the same source that were in force."""
        own = next((one for one in self.retired if one.heir == authority), None)
        source, receipt = (own.source, own.receipt) if own else (authority, self.receipts + 1)
        return [one.heir for one in self.retired if one.source == source and one.receipt < receipt and one.in_force]

    def before(self, event: Event) -> History:
        """The history just before an event."""
        known = [one for one in self.events if one.receipt < event.receipt]
        return replace(self, events=known, retired=[one for one in self.retired if one.receipt < event.receipt])

    def _receipt(self) -> int:
        self.receipts += 1
        return self.receipts

    def _rename(self, old: str, new: str) -> None:
        self.events = [one._replace(authority=new) if isinstance(one, Assertion) and one.authority == old else one for one in self.events]

    def _since(self, authority: str, merge: MergeEvent) -> Iterable[tuple[str, When]]:
        """Opt-outs in force for both records of a merge that were first stated after it."""
        connected = self.ever_merged_with(merge.survivor)
        statements = [one for one in self.events if isinstance(one, Assertion) and one.authority == authority and one.record in connected]
        for attribute, opt_out in OPT_OUTS.items():
            when, value = self.newest_evidence(authority, attribute, merge.survivor)[0], self.current(authority, attribute, merge.survivor)
            opt_outs = [one for one in statements if one.stated.get(attribute) == opt_out]
            news = not any(one.receipt < merge.receipt for one in opt_outs)
            origin = next((one.true_at for one in opt_outs if one.place(attribute) == when), None)
            if value == opt_out and news and origin is not None:
                yield attribute, origin

    def _walk(self, authority: str, attribute: str, order: Order) -> NewestByGroup:
        groups: dict[str, str] = {}
        newest: NewestByGroup = {}
        for event in sorted(self.events, key=lambda one: order(one, attribute)):
            if isinstance(event, MergeEvent):
                _join(groups, newest, event, attribute, order(event, attribute))
            elif event.authority == authority and attribute in event.stated:
                newest[groups.get(event.record, event.record)] = order(event, attribute), event.stated[attribute]
        return newest


def _join(groups: dict[str, str], newest: NewestByGroup, event: MergeEvent, attribute: str, when: Any) -> None:
    pair = {groups.get(name, name) for name in (event.survivor, event.merged)}
    statements = [newest.pop(name) for name in pair if name in newest]
    _unite(groups, event.survivor, event.merged)
    if statements:
        opted_out = any(value == refusal(attribute) for _, value in statements)
        newest[groups[event.survivor]] = (when, refusal(attribute)) if opted_out else max(statements, key=lambda one: one[0])


def _groups(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    groups: dict[str, str] = {}
    for pair in pairs:
        _unite(groups, *pair)
    return groups


def _unite(groups: dict[str, str], survivor: str, merged: str) -> None:
    """Joins the two groups under the first of their names."""
    old = {groups.get(name, name) for name in (survivor, merged)}
    members = {survivor, merged, *old, *(name for name, group in groups.items() if group in old)}
    groups.update(dict.fromkeys(members, min(members)))
