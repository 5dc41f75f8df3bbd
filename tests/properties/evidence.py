"""What the evidence allows, written down plainly: the model beside which random histories run (``test_state_machine.py``).

The invariant (product rule 5.10): *the effective state is never more permissive than the newest evidence of any authority
allows.* Here it reads so. Take everything that was delivered, in whatever order, and set it in the order in which it became true:
a source's statements and the merges by their effective time, of one time by version; the word of people, who speak to us directly,
by its receipt. Walk through it once (``history.py``). A statement replaces what its authority said of the same attribute of the same
record. A merge makes two records one: of each authority and attribute an opt-out of either stands, else the newer statement. What a
source says since then is about both. A merge that is undone never was, but for the opt-outs that were said since and stand for both.
A loosening that the safeguard holds was not said until a person approves it; one that is rejected never was. Where the walk ends in an
opt-out of an authority that may speak, that opt-out is in force:

* Do Not Contact, while the enterprise syncs: of any source; of staff, until a source has stated later than that about the patient, and
  one that stood when two records became one stands until a source has stated since; what staff has of a retired source, until a source
  states about that patient later than it was retired (it itself: what is true since). While it does not sync: of staff.
* Consent and topic, any authority; what a source says of them, and what staff has of a retired one until another source states it since,
  while the enterprise syncs.
* A preferred method of "none", of the first source in order that states one, while the enterprise syncs; where a source was retired,
  unless any states another.
* The newest reply about a number and a line: for everybody who has the number, and for everybody who had it then
  (``tests/properties/owing.py``).

The store may forbid more than that: of two records that became one it cannot always tell who said what, and it then keeps an
opt-out. For a record that was never merged, of which nothing was held and no source retired, it must forbid exactly this, so that
nobody is silently left without a reminder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from tests.properties.history import (
    ALWAYS,
    BEFORE_ALL,
    DNC,
    METHOD,
    NEEDS_SYNC,
    OPT_OUTS,
    STAFF,
    UNREADABLE,
    History,
    Joined,
    Retired,
    Said,
)
from tests.properties.words import Word, stopped_by


@dataclass
class Evidence(History):
    """Everything that was delivered, and what follows from it. ``held``: records of which the safeguard ever held anything."""

    syncs: bool = True
    order: Sequence[str] = ()
    words: list[Word] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    ever_retired: bool = False

    def is_exact(self, record: str) -> bool:
        """Whether the store must forbid exactly what the evidence does, and no more."""
        return self.ever_met(record) == {record} and record not in self.held and not self.ever_retired and self.is_ordered(record)

    def is_ordered(self, record: str) -> bool:
        """Whether of any two statements of one source about the record, or one that it ever met, it can be told which is newer."""
        met = self.ever_met(record)
        told = [one for one in self.events if isinstance(one, Said) and one.authority != STAFF and one.record in met]
        return all(
            one.true_at.is_comparable(other.true_at)
            for one, other in combinations(told, 2)
            if one.authority == other.authority and one.stated.keys() & other.stated.keys() and one[2::2] != other[2::2]
        )

    def forbids(self, record: str, attribute: str) -> bool:
        """Whether the newest evidence of an authority that may speak is an opt-out."""
        opt_out = OPT_OUTS[attribute]
        if attribute == DNC:
            return self._do_not_contact(record)
        if attribute == METHOD:
            return self._no_method(record)
        by_source = any(self.current(one, attribute, record) == opt_out for one in (*self.sources, STAFF))
        return self.syncs and (by_source or any(self._by_heir(one, record, attribute) for one in self.retired if one.in_force))

    def value(self, record: str, attribute: str) -> Any:
        """What the first source in order states; exact for what forbids nothing."""
        if attribute in NEEDS_SYNC and not self.syncs:
            return None
        stated = (self.current(one, attribute, record) for one in self.order)
        return next((value for value in stated if value is not None), None)

    def expected(self, record: str, attribute: str) -> Any:
        """What is in force for a record of which :meth:`is_exact` holds."""
        if self.forbids(record, attribute):
            return OPT_OUTS[attribute]
        local = self.current(STAFF, attribute, record) if attribute == DNC else None
        return self.value(record, attribute) or local

    def is_unreadable(self, record: str, attribute: str) -> bool:
        """Whether what a source stated last about the attribute could not be read, or what it may have stated last."""
        name = f"{UNREADABLE}{attribute}"
        by_source = any(self.current(one, name, record) for one in self.sources)
        return self.syncs and (by_source or any(self._is_unreadable_since(one, name, record) for one in self.retired))

    def _is_unreadable_since(self, retired: Retired, name: str, record: str) -> bool:
        """Whether a source left it unreadable when it was retired, and none has stated it since."""
        if not self.current(retired.heir, name, record):
            return False
        told = (
            one for one in self.events if isinstance(one, Said) and one.authority in self.sources and one.record in self.members(record)
        )
        since = (one for one in told if one.receipt > retired.receipt and one.true_at.earliest > retired.at)
        return not any(name in one.stated and one.stated[name] is None for one in since)

    def ever_forbade(self, record: str, attribute: str) -> bool:
        """Whether any evidence about the record, or one that ever was one with it, was ever an opt-out."""
        met = self.ever_met(record)
        told = (one for one in self.events if isinstance(one, Said) and one.record in met)
        return any(one.stated.get(attribute) == OPT_OUTS[attribute] for one in told)

    def stopped(self, number: str, line: str) -> bool:
        """Whether texts from a line to a number were refused, by the newest word of any authority."""
        return any(stopped_by(self.words, authority, number, line) for authority in {word.authority for word in self.words})

    def retire(self, source: str, seconds: float, *, in_force: bool) -> None:
        """Staff has the source's word from now on, not its own of before, unless that is what stands."""
        by_staff = {one.record for one in self.events if isinstance(one, Said) and one.authority == STAFF}
        yielded = sorted(name for name in by_staff if not self._by_staff(name))
        super().retire(source, seconds, in_force=in_force)
        last = self.retired.pop()
        before = self.receipts
        for name in yielded if in_force else ():
            if self.current(last.heir, DNC, name) is not None:
                self.said(STAFF, name, ALWAYS, {DNC: None})
        self.retired.append(last._replace(superseded=frozenset(range(before + 1, self.receipts + 1))))
        self.ever_retired = True

    def _in_force(self) -> list[str]:
        lapsed = {one.heir for one in self.retired if not one.in_force}
        return [one for one in self.authorities() if one not in lapsed]

    def _no_method(self, record: str) -> bool:
        """Once a source was retired, its method is behind those of others, and among what staff has there is no order."""
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
        """Whether a Do Not Contact of staff stands beside the sources: none stated later, or since a merge of records it stood for."""
        receipt, value = self.standing(STAFF, DNC, record)
        if value != OPT_OUTS[DNC]:
            return False
        said = next(one.place(DNC) for one in self.events if one.receipt == receipt)
        kept = [one for one in self._merges_of(record) if any(self._as_of(one)._by_staff(name) for name in (one.survivor, one.merged))]
        return not any(value is not None and when > max(said, _last(kept)) for when, value in self._stated(record, DNC))

    def _by_heir(self, retired: Retired, record: str, attribute: str) -> bool:
        """The same for what staff has of a retired source, which stands against what others had stated until then."""
        if self.current(retired.heir, attribute, record) != OPT_OUTS[attribute]:
            return False
        merges = [one for one in self._merges_of(record) if one.receipt > retired.receipt]
        kept = [one for one in merges if any(self._as_of(one)._by_heir(retired, name, attribute) for name in (one.survivor, one.merged))]
        if kept:
            return not any(value is not None and when > _last(kept) for when, value in self._stated(record, attribute))
        since = [one for one in self.events if isinstance(one, Said) and one.receipt > retired.receipt and one.authority in self.sources]
        last = self.standing(retired.heir, attribute, record)[0]
        # what is late ends nothing
        since = [one for one in since if one.place(attribute) > (last if one.authority == retired.source else (retired.at, 0))]
        return not any(one.stated.get(attribute) is not None and self.group(one.record) == self.group(record) for one in since)

    def _merges_of(self, record: str) -> list[Joined]:
        return [one for one in self.merges() if self.group(one.survivor) == self.group(record)]

    def _stated(self, record: str, attribute: str) -> list[tuple[Any, Any]]:
        spoke = [*self.sources, *(one.heir for one in self.retired)]
        return [self.standing(one, attribute, record) for one in spoke]

    def _as_of(self, event: Joined) -> Evidence:
        known = self.before(event)
        assert isinstance(known, Evidence)
        return known


def _last(merges: Sequence[Joined]) -> Any:
    return max((one.true_at for one in merges), default=BEFORE_ALL)
