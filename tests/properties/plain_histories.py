"""Random histories of one patient, or of two who may be merged; their messages; and the reduction of failing ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from random import Random

from tests.properties.plain_events import DECEASED, DELETE, DNC, METHOD, SMS, VOICE, Merge, Payload, Reply, Step
from tests.properties.plain_settings import BEGIN, FIELDS, WAVES, A, B, Setting
from tests.properties.plain_texts import START, STOP, STOP_ALL
from tests.properties.plain_times import CHICAGO, FORMATS, UNREADABLE_TIMES, stated

ZONES: tuple[tzinfo | None, ...] = (UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=-6)), None)


def place(step: Step) -> tuple[int, int]:
    """Events of one wave are received source by source, then the replies."""
    event = step.event
    return step.wave, 4 if isinstance(event, Reply) else 2 * (event.source == B) + isinstance(event, Merge)


@dataclass
class Draw:
    """Draws one history of a setting."""

    random: Random
    setting: Setting
    count: int = 0

    def history(self) -> tuple[Step, ...]:
        """Usually starts with a message about each record; then any events."""
        records = ["1", "2"] if self.random.random() < 0.4 else ["1"]
        self.records = records
        steps = [Step(0, self.payload(0, A, f"A{one}")) for one in records if self.random.random() < 0.9]
        for _ in range(self.random.randint(2, 10)):
            steps.append(self.step(self.random.randint(0, WAVES - 1), steps))
        if self.random.random() < 0.3:
            steps += [Step(WAVES, self.permitting(source)) for source in self.random.choice([[A], [A, B]])]
        return tuple(sorted(steps, key=place))

    def step(self, wave: int, before: Sequence[Step]) -> Step:
        payloads = [one.event for one in before if isinstance(one.event, Payload) and one.wave <= wave]
        chance = self.random.random()
        if payloads and chance < 0.12:
            return Step(wave, self.random.choice(payloads))
        if payloads and chance < 0.20:
            return Step(wave, self.similar(self.random.choice(payloads)))
        if chance < 0.30:
            return Step(wave, self.reply())
        if chance < 0.37 and len(self.records) > 1 and not self.setting.linked:
            return Step(wave, self.merge(wave))
        source = self.random.choice([A, A, B])
        return Step(wave, self.payload(wave, source, self.named(source), before))

    def named(self, source: str) -> str:
        return f"{'B' if self.setting.linked and source == B else 'A'}{self.random.choice(self.records)}"

    def control(self) -> str:
        """A unique control id, or occasionally none."""
        self.count += 1
        return f"C{self.count}" if self.random.random() < 0.95 else ""

    def payload(self, wave: int, source: str, record: str, before: Sequence[Step] = ()) -> Payload:
        event, sent = self.times(wave, before)
        random = self.random
        codes = {name: random.choice(["Y", "N", "N", "M", "Q", DELETE, "", ""]) for name in FIELDS if random.random() < 0.6}
        codes[DECEASED] = random.choices(["", "N", "Y", "X?", DELETE, "U"], [60, 20, 8, 4, 6, 2])[0]
        phones = random.choice([None, (), *[(0,), (1,), (0, 1), (2, 0)] * 2])
        # always stated: a record stays restricted until a message states otherwise
        restricted = random.choices(["N", "Y", "X?"], [80, 14, 6])[0]
        linked = random.choice(["", f"N{record[1]}", f"N{record[1]}", "0000000000", "UNKNOWN"])
        return Payload(source, record, event, sent, self.control(), filled(codes), phones, restricted, linked)

    def similar(self, one: Payload) -> Payload:
        """Another message of the same control id and time; or the same message under another control id."""
        if self.random.random() < 0.4:
            return replace(one, control=self.control())
        return replace(one, codes=filled({**one.codes, self.random.choice(FIELDS): self.random.choice(["Y", "N", "M", DELETE, ""])}))

    def merge(self, wave: int) -> Merge:
        survivor, merged = self.random.choice([("A1", "A2"), ("A2", "A1")])
        event, sent = self.times(wave, ())
        return Merge(self.random.choice([A, B]), survivor, merged, event, sent, self.control())

    def reply(self) -> Reply:
        word = self.random.choice([STOP, STOP, STOP_ALL, START, START])
        return Reply(self.random.randrange(3), self.random.randrange(2), word, self.random.choice([0, 0, 0, None, 5, 4000]))

    def permitting(self, source: str) -> Payload:
        """A last message that permits everything, with a precise time."""
        codes = {DNC: "N", METHOD: "N", SMS: "N", VOICE: "N", DECEASED: "N"}
        now = self.setting.clock[WAVES].strftime(FORMATS[14])
        return Payload(source, self.named(source), f"{now}+0000", f"{now}+0000", self.control(), codes, (0,), "N")

    def times(self, wave: int, before: Sequence[Step]) -> tuple[str, str]:
        """EVN-2 and MSH-7 as text."""
        receipt, random = self.setting.clock[wave], self.random
        length = random.choices([14, 12, 10, 8, 6, 4], [70, 6, 8, 10, 3, 3])[0]
        text = formatted(self.moment(receipt, before), length, random.choice(ZONES))
        sent = formatted(receipt - timedelta(seconds=random.choice([0, 1, 60])), 14, random.choice(ZONES))
        return random.choices(
            [
                (text, sent),
                ("", text),
                ("", ""),
                (random.choice(UNREADABLE_TIMES), sent),
                (random.choice(UNREADABLE_TIMES), ""),
                (text, ""),
            ],
            [82, 6, 3, 4, 1, 4],
        )[0]

    def moment(self, receipt: datetime, before: Sequence[Step]) -> datetime:
        """A time: often at the edge of an earlier one, rarely ahead of the clock."""
        random = self.random
        ahead = [1, 300, 899, 900, 901, 3_600, 86_400]
        if random.random() < 0.05:
            return receipt + timedelta(seconds=random.choice(ahead))
        payloads = [step for step in before if isinstance(step.event, Payload)]
        near = timedelta(seconds=random.choice([0, 0, 1, 2, 60, 3_600, 7_200, 40_000]))
        if not payloads or random.random() < 0.5:
            return receipt - near
        step = random.choice(payloads)
        assert isinstance(step.event, Payload)
        when = stated(step.event.event, step.event.sent, self.setting.clock[step.wave])
        edge = random.choice([when.start[1], when.end[0]]) + timedelta(seconds=random.choice([-1, 0, 0, 1]))
        return edge if BEGIN - timedelta(days=60) < edge <= receipt else receipt - near


def filled(codes: dict[str, str]) -> dict[str, str]:
    """Removes empty fields, so that equivalent messages are equal."""
    return {name: text for name, text in codes.items() if text}


def formatted(moment: datetime, length: int, zone: tzinfo | None) -> str:
    """A moment as HL7 text, without an offset if it is in the source's own zone."""
    return moment.astimezone(zone or CHICAGO).strftime(FORMATS[length] + ("%z" if zone else ""))


def shrunk(steps: tuple[Step, ...], fails: Callable[[tuple[Step, ...]], bool]) -> tuple[Step, ...]:
    """Removes whatever the failure does not need: first events, then their content."""
    at = 0
    while at < len(steps):
        fewer = steps[:at] + steps[at + 1 :]
        steps, at = (fewer, at) if fails(fewer) else (steps, at + 1)
    for at in range(len(steps)):
        for plainer in plainer_than(steps[at]):
            before, after = steps[at].event, plainer(steps[at]).event
            candidate = tuple(one._replace(event=after) if one.event == before else one for one in steps)
            if candidate != steps and fails(candidate):
                steps = candidate
    return steps


def plainer_than(step: Step) -> list[Callable[[Step], Step]]:
    """The ways to simplify a payload."""
    if not isinstance(step.event, Payload):
        return []
    dropped = [without(name) for name in step.event.codes]
    changes: list[dict[str, object]] = [{"phones": None}, {"restricted": "N"}, {"linked": ""}]
    return [*dropped, *(changed(one) for one in changes)]


def without(name: str) -> Callable[[Step], Step]:
    def plainer(step: Step) -> Step:
        assert isinstance(step.event, Payload)
        return step._replace(event=replace(step.event, codes={key: text for key, text in step.event.codes.items() if key != name}))

    return plainer


def changed(fields: dict[str, object]) -> Callable[[Step], Step]:
    def plainer(step: Step) -> Step:
        assert isinstance(step.event, Payload)
        return step._replace(event=replace(step.event, **fields))  # type: ignore[arg-type]

    return plainer
