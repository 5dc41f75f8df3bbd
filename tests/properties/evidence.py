"""What the evidence allows: the plain model for random histories (``test_state_machine.py``).

The invariant (product rule 5.10): *the effective state is never more permissive than the newest evidence of any authority
allows.* In this model it means the following. Sort all delivered events by when they became effective: statements of sources and merges
by effective time, then version; actions of people by receipt. Walk through them once (``history.py``). A statement replaces the earlier
statement of its authority about the same attribute of the same record. A merge joins two records: for each authority and attribute, an
opt-out of either record is in force, else the newer statement. Later statements of a source are about both. A merge that is undone is
ignored, except for later opt-outs that are in force for both records. A change that the safeguard holds counts only after a person
approves it; a rejected change never counts. If the walk ends in an opt-out of an authority that counts, that opt-out is in force:

* Do Not Contact, while the enterprise syncs: of any source; of staff, until a source makes a later statement about the patient (if it
  was in force at a merge, until a source makes a statement after the merge); inherited by staff from a retired source, until a source
  makes a statement about that patient after the retirement (the same source: a statement effective since). Without sync: of staff.
* Consent and topic, while the enterprise syncs: of any source, and inherited from a retired source until another source states the
  attribute.
* A preferred method of "none", while the enterprise syncs: of the first source in order that states a method; after a retirement,
  unless any source states another method.
* The newest reply about a number and a line: for every patient who has the number, and for every patient who had it then
  (``tests/properties/owing.py``).

The store may forbid more than that: after a merge it cannot always tell which record a statement was about, and then keeps an opt-out.
For a record that was never merged, without held changes and without a retired source, it must forbid exactly this, so that no patient
silently misses a reminder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from tests.properties.consent_events import ConsentEvent, stopped_by
from tests.properties.history import (
    ALWAYS,
    BEFORE_ALL,
    DNC,
    METHOD,
    NEEDS_SYNC,
    OPT_OUTS,
    STAFF,
    UNREADABLE,
    Assertion,
    History,
    MergeEvent,
    Retired,
)


@dataclass
class Evidence(History):
    """Everything that was delivered, and its consequences. ``held``: records for which the safeguard ever held a change."""

    syncs: bool = True
    order: Sequence[str] = ()
    consent_events: list[ConsentEvent] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    ever_retired: bool = False

    def is_exact(self, record: str) -> bool:
        """Whether the store must forbid exactly what the evidence forbids, and no more."""
        return self.ever_merged_with(record) == {record} and record not in self.held and not self.ever_retired and self.is_ordered(record)

    def is_ordered(self, record: str) -> bool:
        """Whether the order of all statements of each source about the record, or one that it was ever merged with, is certain."""
        connected = self.ever_merged_with(record)
        statements = [one for one in self.events if isinstance(one, Assertion) and one.authority != STAFF and one.record in connected]
        return all(
            one.true_at.is_comparable(other.true_at)
            for one, other in combinations(statements, 2)
            if one.authority == other.authority and one.stated.keys() & other.stated.keys() and one[2::2] != other[2::2]
        )

    def forbids(self, record: str, attribute: str) -> bool:
        """Whether the newest evidence of an authority that counts is an opt-out."""
        opt_out = OPT_OUTS[attribute]
        if attribute == DNC:
            return self._do_not_contact(record)
        if attribute == METHOD:
            return self._no_method(record)
        by_source = any(self.current(one, attribute, record) == opt_out for one in (*self.sources, STAFF))
        return self.syncs and (by_source or any(self._by_heir(one, record, attribute) for one in self.retired if one.in_force))

    def value(self, record: str, attribute: str) -> Any:
        """The value of the first source that states one. Exact for values that forbid nothing."""
        if attribute in NEEDS_SYNC and not self.syncs:
            return None
        stated = (self.current(one, attribute, record) for one in self.order)
        return next((value for value in stated if value is not None), None)

    def expected(self, record: str, attribute: str) -> Any:
        """The value in force for a record with :meth:`is_exact`."""
        if self.forbids(record, attribute):
            return OPT_OUTS[attribute]
        local = self.current(STAFF, attribute, record) if attribute == DNC else None
        return self.value(record, attribute) or local

    def is_unreadable(self, record: str, attribute: str) -> bool:
        """Whether the last statement of a source about the attribute is, or may be, unreadable."""
        name = f"{UNREADABLE}{attribute}"
        by_source = any(self.current(one, name, record) for one in self.sources)
        return self.syncs and (by_source or any(self._is_unreadable_since(one, name, record) for one in self.retired))

    def _is_unreadable_since(self, retired: Retired, name: str, record: str) -> bool:
        """Whether the attribute was unreadable when a source was retired, and no source has stated it since."""
        if not self.current(retired.heir, name, record):
            return False
        statements = (
            one
            for one in self.events
            if isinstance(one, Assertion) and one.authority in self.sources and one.record in self.members(record)
        )
        since = (one for one in statements if one.receipt > retired.receipt and one.true_at.earliest > retired.at)
        return not any(name in one.stated and one.stated[name] is None for one in since)

    def ever_forbade(self, record: str, attribute: str) -> bool:
        """Whether any evidence about the record, or one that it was ever merged with, was an opt-out."""
        connected = self.ever_merged_with(record)
        statements = (one for one in self.events if isinstance(one, Assertion) and one.record in connected)
        return any(one.stated.get(attribute) == OPT_OUTS[attribute] for one in statements)

    def stopped(self, number: str, line: str) -> bool:
        """Whether texts from a line to a number are refused by the newest event of any authority."""
        return any(
            stopped_by(self.consent_events, authority, number, line) for authority in {word.authority for word in self.consent_events}
        )

    def retire(self, source: str, seconds: float, *, in_force: bool) -> None:
        """Retires a source: staff inherits its statements. Earlier statements of staff end, unless they are in force."""
        by_staff = {one.record for one in self.events if isinstance(one, Assertion) and one.authority == STAFF}
        overridden = sorted(name for name in by_staff if not self._by_staff(name))
        super().retire(source, seconds, in_force=in_force)
        last = self.retired.pop()
        before = self.receipts
        for name in overridden if in_force else ():
            if self.current(last.heir, DNC, name) is not None:
                self.add_statement(STAFF, name, ALWAYS, {DNC: None})
        self.retired.append(last._replace(superseded=frozenset(range(before + 1, self.receipts + 1))))
        self.ever_retired = True

    def _in_force(self) -> list[str]:
        lapsed = {one.heir for one in self.retired if not one.in_force}
        return [one for one in self.authorities() if one not in lapsed]

    def _no_method(self, record: str) -> bool:
        """Whether the method is "none". An inherited method comes after those of sources, and inherited methods have no order."""
        if not self.ever_retired or not self.syncs:
            return self.value(record, METHOD) == OPT_OUTS[METHOD]
        stated = {self.current(one, METHOD, record) for one in self._in_force()} - {None}
        return stated == {OPT_OUTS[METHOD]}

    def _do_not_contact(self, record: str) -> bool:
        if not self.syncs:
            return bool(self.current(STAFF, DNC, record) == OPT_OUTS[DNC])
        by_source = any(self.current(source, DNC, record) == OPT_OUTS[DNC] for source in self.sources)
        return by_source or self._by_staff(record) or any(self._by_heir(one, record, DNC) for one in self.retired if one.in_force)

    def _by_staff(self, record: str) -> bool:
        """Whether a Do Not Contact of staff is in force: no source made a later statement, or one after a merge that kept it."""
        receipt, value = self.newest_evidence(STAFF, DNC, record)
        if value != OPT_OUTS[DNC]:
            return False
        stated_at = next(one.place(DNC) for one in self.events if one.receipt == receipt)
        kept = [one for one in self._merges_of(record) if any(self._as_of(one)._by_staff(name) for name in (one.survivor, one.merged))]
        return not any(value is not None and when > max(stated_at, _last(kept)) for when, value in self._stated(record, DNC))

    def _by_heir(self, retired: Retired, record: str, attribute: str) -> bool:
        """The same for inherited statements, which are in force against statements from before the retirement."""
        if self.current(retired.heir, attribute, record) != OPT_OUTS[attribute]:
            return False
        merges = [one for one in self._merges_of(record) if one.receipt > retired.receipt]
        kept = [one for one in merges if any(self._as_of(one)._by_heir(retired, name, attribute) for name in (one.survivor, one.merged))]
        if kept:
            return not any(value is not None and when > _last(kept) for when, value in self._stated(record, attribute))
        since = [
            one for one in self.events if isinstance(one, Assertion) and one.receipt > retired.receipt and one.authority in self.sources
        ]
        last = self.newest_evidence(retired.heir, attribute, record)[0]
        # a late statement ends nothing
        since = [one for one in since if one.place(attribute) > (last if one.authority == retired.source else (retired.at, 0))]
        return not any(one.stated.get(attribute) is not None and self.group(one.record) == self.group(record) for one in since)

    def _merges_of(self, record: str) -> list[MergeEvent]:
        return [one for one in self.merges() if self.group(one.survivor) == self.group(record)]

    def _stated(self, record: str, attribute: str) -> list[tuple[Any, Any]]:
        authorities = [*self.sources, *(one.heir for one in self.retired)]
        return [self.newest_evidence(one, attribute, record) for one in authorities]

    def _as_of(self, event: MergeEvent) -> Evidence:
        known = self.before(event)
        assert isinstance(known, Evidence)
        return known


def _last(merges: Sequence[MergeEvent]) -> Any:
    return max((one.true_at for one in merges), default=BEFORE_ALL)
