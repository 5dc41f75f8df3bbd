"""Random histories of every event in the store, compared with a plain model of what the evidence allows (``evidence.py``).

Three sources send messages out of order, repeatedly, or never; their clocks run ahead of ours. Records are merged and unmerged. Staff
and patients act in between. Sync is switched on and off; sources are reordered, removed, retired and restored. The safeguard holds
changes that permit contact, and a person approves or rejects them. The mapping breaks and is fixed, and its rejections are replayed.
Transactions die before and just after their commit, and the program restarts. After each step the invariant (product rule 5.10) holds
for every patient, under every name. ``EMR_SYNC_TEST_PROFILE=thorough`` runs much longer.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from store import times
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.errors import MergeRefused, NothingHeld, PatientUnknown, PreferenceLocked, ValueRefused
from store.preference import PatientMerge
from sync.config.settings import SafeguardRule
from sync.replay import replay
from tests.properties.clinic import HOLDS_ALL, Clinic
from tests.properties.consent_events import ConsentEvent
from tests.properties.history import DNC, OPT_OUTS, STAFF, When
from tests.properties.holds import check_calls, check_texts, check_values
from tests.properties.post import (
    NAMES,
    SOURCES,
    Letter,
    Message,
    Reply,
    deaths,
    messages,
    names,
    pairs,
    permission,
    replies,
    same_record,
    seconds,
    seldom,
    sources,
    stated,
    turns,
)
from tests.store.site import CELL, HOME, LINE, at, cell, mr, says

OPERATOR = Actor(Role.OPERATOR, "robin")
RELEASES = "SELECT id FROM releases WHERE enterprise = ? AND undone_at IS NULL"
mostly = st.sampled_from([True, True, False])
opt_outs = st.sampled_from(sorted(OPT_OUTS))
safeguards = st.sampled_from([SafeguardRule(), HOLDS_ALL])
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # the explain phase takes longer than reading the failure


class Histories(Clinic, RuleBasedStateMachine):
    """Every rule is an event; every step ends with the invariant."""

    letters: Bundle[Letter] = Bundle("letters")

    @initialize(syncs=mostly, order=st.permutations(SOURCES), known=st.booleans(), safeguard=safeguards)
    def starts(self, syncs: bool, order: list[str], known: bool, safeguard: SafeguardRule) -> None:
        """Optionally, a source has already sent every patient with a number."""
        self.reset()
        self.safeguard = safeguard
        self.configure(syncs, order)
        self.open()
        for name, number in zip(NAMES, (CELL, HOME, HOME), strict=True) if known else ():
            self.deliver([self.write(SOURCES[0], self.statements(Message(name, 0, {"phones": (cell(number),)}, False)))], "")

    def teardown(self) -> None:
        self.check_feed()
        self.database.close()

    # Events from EMRs

    @rule(target=letters, source=sources, messages=st.lists(messages, min_size=1, max_size=4), death=deaths, damaged=seldom)
    def source_sends_messages(self, source: str, messages: list[Message], death: str, damaged: bool) -> MultipleResults[Letter]:
        """Messages arrive in any order of their times. Sometimes the mapping is broken and cannot read the first."""
        group = [self.write(source, self.statements(message)) for message in messages]
        if damaged:
            self.post.damaged.add(group[0].number)
        self.deliver(group, death)
        return multiple(*group)

    @rule(target=letters, source=sources, message=messages)
    def message_is_written_for_later(self, source: str, message: Message) -> Letter:
        """A message is written; it is delivered later or never."""
        return self.write(source, self.statements(message))

    @rule(target=letters, letter=letters, stated=stated)
    def source_sends_a_higher_version(self, letter: Letter, stated: dict[str, Any]) -> Letter:
        """The same record at the same time in a higher version. The higher version counts, in any order of arrival."""
        if isinstance(letter.item, PatientMerge):
            return letter
        versions = [one.item.version for one in self.post.letters if same_record(one, letter)]
        item = replace(says((), 0, stated), identifiers=letter.item.identifiers, effective=letter.item.effective)
        version = max(versions) + 1 if item.effective.end is None else 0  # versions would also order overlapping times
        return self.write(letter.source, replace(item, version=version, evidence_id=self.next_evidence()))

    @rule(target=letters, letter=letters, death=deaths)
    def message_is_resent_under_another_control_id(self, letter: Letter, death: str) -> Letter:
        """The same message under another control id: a repeat or new, which cannot be distinguished."""
        again = self.write(letter.source, replace(letter.item, evidence_id=self.next_evidence()))
        self.deliver([again], death)
        return again

    @rule(target=letters, source=sources, pair=pairs, when=seconds, death=deaths)
    def source_sends_a_merge(self, source: str, pair: tuple[str, str], when: int, death: str) -> Letter:
        survivor, merged = pair
        letter = self.write(
            source, PatientMerge((mr(survivor),), (mr(merged),), times.at(at(self.moment(when) + 0.5)), self.next_evidence())
        )
        self.deliver([letter], death)
        return letter

    @rule(group=st.lists(letters, min_size=1, max_size=4), death=deaths)
    def messages_are_delivered(self, group: list[Letter], death: str) -> None:
        """Some messages of one source arrive together, perhaps repeated."""
        merges = [one for one in group if isinstance(one.item, PatientMerge)]
        group = merges[:1] or [one for one in group if one.source == group[0].source]
        self.deliver(group, death)

    # Faults

    @rule(death=deaths)
    def mapping_is_fixed_and_rejections_replayed(self, death: str) -> None:
        self.post.damaged.clear()
        for source in SOURCES:
            for one in self.engine.journal.rejections(self.name, self.sources[source]):
                rejection = self.engine.journal.rejection(one.id)
                letter = self.post.letters[int(rejection.payload.partition(b":")[2])]
                with self.recording([letter], death) as answers:
                    answers.append(replay(self.engine, self.lane(source), self.post, rejection))

    # Actions of people

    @rule(name=names, value=st.sampled_from(["yes", "no"]))
    def staff_switch_the_toggle(self, name: str, value: str) -> None:
        patient = self.find(name)
        if patient is None:
            return
        person, now = Actor(Role.ENTERPRISE, "pat"), self.now()
        is_current = patient.contact.do_not_contact == value
        try:
            self.store.set_do_not_contact(self.name, patient.id, value, actor=person, reason="", now=now)
        except PreferenceLocked:
            assert self.evidence.syncs
            assert not is_current
        else:
            assert is_current or not self.evidence.syncs
            if not is_current:
                self.evidence.add_statement(STAFF, name, When(self.seconds, self.seconds), {DNC: value})

    @rule(line=st.sampled_from([LINE, None]), answered=st.booleans())
    def staff_record_opt_outs(self, line: str | None, answered: bool) -> None:
        """Opts out every known patient with a number. Sometimes a START from that number follows at once."""
        for name in NAMES:
            patient, now = self.find(name), self.now()
            if patient is not None and patient.contact.phones:
                self.store.record_sms_opt_out(self.name, patient.id, line=line, actor=Actor(Role.STAFF, "sam"), now=now)
                events = [ConsentEvent(STAFF, phone.number, line, True, self.seconds) for phone in patient.contact.phones]
                self.evidence.consent_events += events
                self.owing.add_staff_opt_outs(events)
                if answered:
                    self.reply(Reply(patient.contact.phones[0].number, LINE, "START", self.seconds + 1))

    @rule(replies=st.lists(replies, min_size=1, max_size=3))
    def patients_reply(self, replies: list[Reply]) -> None:
        for reply in replies:
            self.reply(reply)

    @rule(name=names, pair=pairs, when=seconds, source=sources)
    def staff_set_do_not_contact_before_a_merge(self, name: str, pair: tuple[str, str], when: int, source: str) -> None:
        """Without sync, staff set Do Not Contact; then the record is merged with another, and sync is switched on."""
        self.configuration_changes(False, list(SOURCES), 3, self.safeguard)
        self.staff_switch_the_toggle(name, "yes")
        self.source_sends_a_merge(source, pair, when, "")
        self.configuration_changes(True, list(SOURCES), 3, self.safeguard)

    @rule(syncs=mostly, order=st.permutations(SOURCES), count=st.integers(1, 3), safeguard=safeguards)
    def configuration_changes(self, syncs: bool, order: list[str], count: int, safeguard: SafeguardRule) -> None:
        """Sync is switched on or off, sources are reordered or removed, or the safeguard changes."""
        self.safeguard = safeguard
        self.configure(syncs, order[:count])
        self.restart()

    @rule(source=sources, pair=pairs, when=seconds, later=st.lists(st.tuples(sources, messages), min_size=1, max_size=3))
    def two_records_are_merged_and_unmerged(self, source: str, pair: tuple[str, str], when: int, later: list[tuple[str, Message]]) -> None:
        """A merge, later statements about either or both records, and the unmerge."""
        self.source_sends_a_merge(source, pair, when, "")
        for place, (speaker, message) in enumerate(later):
            later_message = message._replace(name=pair[place % 2], when=when + 1 + message.when)
            self.source_sends_messages(speaker, [later_message], "", False)
        if merges := self.evidence.merges():
            self.a_merge_is_undone(len(merges) - 1, "")

    @precondition(lambda self: self.evidence.merges())
    @rule(place=st.integers(0, 2), death=deaths)
    def a_merge_is_undone(self, place: int, death: str) -> None:
        """Undoes a merge by its merged record. If another merge must be undone first, nothing changes."""
        merges = self.evidence.merges()
        name = merges[place % len(merges)].merged
        before = self.find(name)
        with suppress(MergeRefused, PatientUnknown), self.crashing(death):
            ref = PatientRef(authority="GENHOSP", value=name)
            self.store.unmerge(self.name, ref, actor=OPERATOR, reason="", now=self.now())
        after = self.find(name)
        restored = [other for other in NAMES if (found := self.find(other)) is not None and after is not None and found.id == after.id]
        if before is not None and after is not None and before.id != after.id:
            self.evidence.undo_merge(restored)
            self.owing.undo_merge(restored)

    @rule(source=sources, last=messages, death=deaths)
    def a_source_is_retired(self, source: str, last: Message, death: str) -> None:
        """A source sends a last message and is retired. Its held changes are rejected."""
        self.source_sends_messages(source, [last], "", False)
        count = len(self.select(RELEASES, self.name))
        with suppress(ValueRefused), self.crashing(death):
            self.releases.release(self.sources[source], OPERATOR, self.now())
        if len(self.select(RELEASES, self.name)) > count:
            self.evidence.retire(source, self.seconds, in_force=self.evidence.syncs)
            if not self.evidence.syncs:
                self.forget(source)

    @rule(source=sources, last=messages, later=st.lists(st.tuples(sources, messages), max_size=2))
    def a_source_is_retired_for_a_while(self, source: str, last: Message, later: list[tuple[str, Message]]) -> None:
        """Other sources, or itself, send messages before the retirement is undone."""
        self.a_source_is_retired(source, last, "")
        for speaker, message in later:
            self.source_sends_messages(speaker, [message], "", False)
        self.a_retirement_is_undone("")

    @precondition(lambda self: self.evidence.retired)
    @rule(death=deaths)
    def a_retirement_is_undone(self, death: str) -> None:
        releases, last = self.select(RELEASES, self.name), self.evidence.retired[-1]
        with self.crashing(death):
            self.releases.undo(self.sources[last.source], OPERATOR, self.now())
        if len(self.select(RELEASES, self.name)) < len(releases):
            self.evidence.restore(last.source)

    @rule(source=sources, name=names, attribute=opt_outs, when=seconds, places=turns, decided=st.sampled_from([None, True, False]))
    def an_opt_out_is_withdrawn(self, source: str, name: str, attribute: str, when: int, places: list[int], decided: bool | None) -> None:
        """An opt-out is withdrawn and repeated in any order, under a safeguard with limit 0. Sometimes a person decides."""
        self.configuration_changes(True, list(SOURCES), 3, HOLDS_ALL)
        values = (OPT_OUTS[attribute], permission(attribute), OPT_OUTS[attribute])
        for place in places:
            message = Message(name, when + 2 * place, {attribute: values[place]}, False)
            self.deliver([self.write(source, self.statements(message))], "")
        if decided is not None:
            self.a_person_decides_on_held_changes(decided, "")

    @precondition(lambda self: self.pending)
    @rule(approves=st.booleans(), death=deaths)
    def a_person_decides_on_held_changes(self, approves: bool, death: str) -> None:
        """Approved changes count as stated from then on; rejected changes never count."""
        before = self.held()
        with self.crashing(death):
            for run in self.journal.runs(self.name):
                with suppress(NothingHeld):
                    (self.verdicts.approve if approves else self.verdicts.reject)(run.id, OPERATOR, self.now())
        for one in sorted(before - self.held()):
            if approves:
                self.record_statement(self.pending[one], [one[1]])
            else:
                self.reject(one)

    @precondition(lambda self: self.rejected)
    @rule(place=st.integers(0, 5), when=seconds)
    def a_rejected_change_is_repeated(self, place: int, when: int) -> None:
        """A rejected change comes in a newer message of its own, under a safeguard that would permit it."""
        self.configuration_changes(True, list(SOURCES), 3, SafeguardRule())
        source, name, attribute = sorted(self.rejected)[place % len(self.rejected)]
        message = Message(name, when + 61, {attribute: permission(attribute)}, False)
        self.deliver([self.write(source, self.statements(message))], "")

    # The invariant

    @invariant()
    def nothing_is_permitted_against_the_evidence(self) -> None:
        for name in NAMES:
            patient = self.find(name)
            if patient is not None:
                known = self.known(name)
                assert known.contact == patient.contact
                check_values(self.evidence, name, patient)
                check_texts(self.evidence, name, known, self.owing)
                check_calls(self.evidence, name, known)


@pytest.mark.timeout(3_600)
def test_no_history_makes_a_patient_more_contactable_than_the_evidence_allows(database_url: str) -> None:
    Histories.url = database_url
    # PostgreSQL takes four times as long for a history. What differs there is SQL, which needs fewer of them than the rules do.
    examples = settings().max_examples * 2 // 5 if database_url.startswith("sqlite") else settings().max_examples // 12
    run_state_machine_as_test(Histories, settings=settings(max_examples=examples, stateful_step_count=25, phases=PHASES))
