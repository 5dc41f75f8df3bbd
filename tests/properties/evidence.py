"""What the evidence allows, written down plainly: the model beside which random histories run (``test_state_machine.py``).

The invariant (product section 5, rule 8): *the effective state is never more permissive than the newest evidence of any authority
allows.* Here it reads so. Take everything that was delivered, in whatever order, and set it in the order in which it became true:
a source's statements and the merges by their effective time, of one time by version; the word of people, who speak to us directly,
by its receipt. Walk through it once. A statement replaces what its authority said of the same attribute of the same record. A merge
makes two records one: of each authority and attribute an opt-out of either stands, else the newer statement. What a source says
since then is about both. Where the walk ends in an opt-out of an authority that may speak, that opt-out is in force:

* Do Not Contact, while the enterprise syncs: of any source; of staff, until a source has stated about that patient, and one that
  stood when two records became one stands until a source has stated since. While it does not sync: of staff.
* Consent and topic, any authority; what a source says of them, while the enterprise syncs.
* A preferred method of "none", of the first source in order that states one, while the enterprise syncs.
* The newest reply about a number and a line, and what staff recorded: for everybody who has the number, and after a merge also
  for the survivor who does not have it any more, until a START from a number that is on file.

The walk knows nothing of rows, digests, batches, versions of patients or what was seen before, and takes no account of the order of
arrival. The store may forbid more than that: of two records that became one it cannot always tell who said what, and it then keeps
an opt-out. For a record that was never merged it must forbid exactly this, so that nobody is silently left without a reminder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
Moment = tuple[float, int]
"""When something became true, and the version of its record at that time."""
BEFORE_ALL: Moment = (-1.0, 0)


class Said(NamedTuple):
    """What one authority stated about one record. ``receipt`` counts deliveries."""

    authority: str
    record: str
    true_at: Moment
    receipt: int
    stated: Mapping[str, Any]


class Joined(NamedTuple):
    """Two records are one person."""

    survivor: str
    merged: str
    true_at: Moment
    receipt: int


class Word(NamedTuple):
    """A reply, or what staff recorded, about a number. ``line`` is ``None`` for every line."""

    authority: str
    number: str
    line: str | None
    opted_out: bool
    at: float


Event = Said | Joined
Order = Callable[[Event], Any]
Standing = dict[str, tuple[Any, Any]]
"""Record (the first of its group) -> when it was said, and the value."""


def as_it_became_true(event: Event) -> Any:
    """Sources: by effective time and version."""
    return event.true_at


def as_it_was_received(event: Event) -> Any:
    """People: they take turns."""
    return event.receipt


@dataclass
class Evidence:
    """Everything that was delivered, and what follows from it."""

    sources: Sequence[str]
    syncs: bool = True
    order: Sequence[str] = ()
    events: list[Event] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    def said(self, authority: str, record: str, true_at: Moment, stated: Mapping[str, Any]) -> None:
        """A statement was delivered."""
        self.events.append(Said(authority, record, true_at, len(self.events), stated))

    def joined(self, survivor: str, merged: str, seconds: float) -> None:
        """A merge was delivered."""
        self.events.append(Joined(survivor, merged, (seconds, 0), len(self.events)))

    def group(self, record: str) -> str:
        """The records that are one with it, by the first of their names."""
        return self._groups().get(record, record)

    def is_merged(self, record: str) -> bool:
        """Whether it is one with another record."""
        return record in self._groups()

    def current(self, authority: str, attribute: str, record: str) -> Any:
        """What an authority's newest evidence says: the walk of the module's text. ``None``: nothing."""
        return self._standing(authority, attribute, record)[1]

    def forbids(self, record: str, attribute: str) -> bool:
        """Whether the newest evidence of an authority that may speak is an opt-out."""
        opt_out = OPT_OUTS[attribute]
        if attribute == DNC:
            return self._do_not_contact(record)
        if attribute == METHOD:
            return self.value(record, METHOD) == opt_out
        return self.syncs and any(self.current(source, attribute, record) == opt_out for source in self.sources)

    def value(self, record: str, attribute: str) -> Any:
        """What the first source in order states; exact for what forbids nothing."""
        if attribute in NEEDS_SYNC and not self.syncs:
            return None
        stated = (self.current(source, attribute, record) for source in self.order)
        return next((value for value in stated if value is not None), None)

    def expected(self, record: str, attribute: str) -> Any:
        """What is in force for a record that was never merged."""
        if self.forbids(record, attribute):
            return OPT_OUTS[attribute]
        local = self.current(STAFF, attribute, record) if attribute == DNC else None
        return self.value(record, attribute) or local

    def stopped(self, number: str, line: str) -> bool:
        """Whether texts from a line to a number were refused, by the newest word of any authority."""
        return any(self.stopped_by(authority, number, line) for authority in {word.authority for word in self.words})

    def ever_forbade(self, record: str, attribute: str) -> bool:
        """Whether any evidence about the record, or one that became one with it, was ever an opt-out."""
        mine = self.group(record)
        told = (one for one in self.events if isinstance(one, Said) and self.group(one.record) == mine)
        return any(one.stated.get(attribute) == OPT_OUTS[attribute] for one in told)

    def stopped_by(self, authority: str, number: str, line: str) -> bool:
        here, everywhere = (self._newest(authority, number, where) for where in (line, None))
        if here is not None and here.opted_out:
            return True
        lifted = here is not None and everywhere is not None and here.at > everywhere.at
        return everywhere is not None and everywhere.opted_out and not lifted

    def _newest(self, authority: str, number: str, line: str | None) -> Word | None:
        said = [word for word in self.words if (word.authority, word.number, word.line) == (authority, number, line)]
        return max(said, key=lambda word: (word.at, word.opted_out), default=None)

    def _do_not_contact(self, record: str) -> bool:
        by_staff = self._by_staff(record)
        if not self.syncs:
            return self.current(STAFF, DNC, record) == OPT_OUTS[DNC]
        return by_staff or any(self.current(source, DNC, record) == OPT_OUTS[DNC] for source in self.sources)

    def _by_staff(self, record: str) -> bool:
        """Whether a Do Not Contact of staff stands beside the sources: none has stated, or none since a merge of records it stood for."""
        if self.current(STAFF, DNC, record) != OPT_OUTS[DNC]:
            return False
        mine = self.group(record)
        merges = [one for one in self.events if isinstance(one, Joined) and self.group(one.survivor) == mine]
        kept = [one.true_at for one in merges if any(self._as_of(one)._by_staff(name) for name in (one.survivor, one.merged))]
        stated = [self._standing(source, DNC, record) for source in self.sources]
        return not any(value is not None and when > max(kept, default=BEFORE_ALL) for when, value in stated)

    def _as_of(self, event: Event) -> Evidence:
        """What was known just before."""
        return Evidence(self.sources, self.syncs, self.order, self.events[: event.receipt])

    def _standing(self, authority: str, attribute: str, record: str) -> tuple[Any, Any]:
        order = as_it_was_received if authority == STAFF else as_it_became_true
        return self._walk(authority, attribute, order).get(self.group(record), (BEFORE_ALL, None))

    def _walk(self, authority: str, attribute: str, order: Order) -> Standing:
        groups: dict[str, str] = {}
        standing: Standing = {}
        for event in sorted(self.events, key=order):
            if isinstance(event, Joined):
                self._join(groups, standing, event, attribute, order(event))
            elif event.authority == authority and attribute in event.stated:
                standing[groups.get(event.record, event.record)] = order(event), event.stated[attribute]
        return standing

    def _join(self, groups: dict[str, str], standing: Standing, event: Joined, attribute: str, when: Any) -> None:
        pair = {groups.get(name, name) for name in (event.survivor, event.merged)}
        told = [standing.pop(name) for name in pair if name in standing]
        _put_together(groups, event)
        if told:
            opted_out = any(value == OPT_OUTS.get(attribute, "never") for _, value in told)
            standing[groups[event.survivor]] = (when, OPT_OUTS[attribute]) if opted_out else max(told, key=lambda one: one[0])

    def _groups(self) -> dict[str, str]:
        groups: dict[str, str] = {}
        for event in self.events:
            if isinstance(event, Joined):
                _put_together(groups, event)
        return groups


def _put_together(groups: dict[str, str], event: Joined) -> None:
    """Every record of the two groups answers to the first name among them."""
    old = {groups.get(name, name) for name in (event.survivor, event.merged)}
    members = {event.survivor, event.merged, *old, *(name for name, group in groups.items() if group in old)}
    groups.update(dict.fromkeys(members, min(members)))
