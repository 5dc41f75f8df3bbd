"""Opt-outs that are written to the rehearsal EMR as ADT^A31 over MLLP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters.base import Refusal, Unanswered
from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.mllp_receiver import SILENT, UpdateListener
from adapters.rehearsal.population import mrn
from store.domain.write_back import WriteBackState
from store.preference import Identifier
from tests.sync.test_write_back import Site, serving

WAITING, SENT, DEAD = WriteBackState.WAITING, WriteBackState.SENT, WriteBackState.DEAD
DENIAL = {"consent.sms": {"field": "PD1-11.1", "code": "01"}}


class Updated(NamedTuple):
    """A site that writes to the EMR's listener."""

    site: Site
    listener: UpdateListener

    def stop(self) -> int:
        """A patient whom the feed has stated opts out; their index."""
        return self.stop_at()[0]

    def stop_at(self) -> tuple[int, str]:
        """The same; their index and number."""
        index, number = self.site.patient()
        self.site.adt(index, self.site.clock())
        self.site.reply(number)
        return index, number

    def attempt(self) -> None:
        """Sends what is due. The listener is not waited for long."""
        sink: Any = self.site.sender._sink(self.site.runtime.feed("adt"))
        sink.timeout = 0.3
        self.site.sender.once()

    def start_permits(self, index: int, number: str) -> bool:
        """Whether the patient may be texted after a START."""
        self.site.reply(number, "START")
        return self.site.may_text(index)


@pytest.fixture
def updated(database_url: str, tmp_path: Path) -> Iterator[Updated]:
    with ExitStack() as stack:
        listeners: list[UpdateListener] = []

        def to_listener(emr: RehearsalEmr) -> dict[str, Any]:
            listeners.append(stack.enter_context(UpdateListener(emr.written)))
            return {"write_back": {"sink": "hl7v2.a31", "connect": f"127.0.0.1:{listeners[0].port}", "attributes": DENIAL}}

        yield Updated(stack.enter_context(serving(database_url, tmp_path, None, to_listener)), listeners[0])


def test_a_stop_reaches_the_emr_as_an_update_of_one_field_and_its_echo_is_unchanged(updated: Updated) -> None:
    site, index = updated.site, updated.stop()
    assert site.sender.once() == 1
    assert site.emr_permits(index) is False
    (body,) = updated.listener.messages
    segments = body.decode().split("\r")
    assert segments[2:] == [f"PID|1||{mrn(index)}^^^GENHOSP^MR", "PD1|||||||||||01", "PV1|1|N", ""]
    assert b'""' not in body
    site.later(timedelta(seconds=5))
    assert site.adt(index, site.clock()) == "unchanged"
    assert not site.may_text(index)


@pytest.mark.parametrize(("code", "state"), [("AR", WAITING), ("CR", WAITING), ("", WAITING), ("AE", DEAD), ("CE", DEAD), ("XX", DEAD)])
def test_each_answer_is_handled(updated: Updated, code: str, state: WriteBackState) -> None:
    site, index = updated.site, updated.stop()
    updated.listener.codes.append(code)
    site.sender.once()
    assert [attempts for attempts, _ in site.states("adt")[state]] == [1]
    assert not site.may_text(index)
    if state == WAITING:
        site.later(timedelta(minutes=1))
        site.sender.once()
        assert site.emr_permits(index) is False
        controls = [one.decode().split("|")[9] for one in updated.listener.messages]
        assert len(controls) == 2
        assert len(set(controls)) == 1


def test_an_acknowledgement_with_a_text_for_a_code_is_not_repeated(updated: Updated) -> None:
    updated.stop()
    updated.listener.codes.append("no patient DOE")
    updated.site.sender.once()
    ((_, reason),) = updated.site.states("adt")[DEAD]
    assert reason == "refused by the EMR: the EMR's listener answered an unknown code"


def test_a_listener_that_is_away_is_tried_again(updated: Updated) -> None:
    site, index = updated.site, updated.stop()
    feed = site.runtime.feed("adt")
    sink: Any = site.sender._sink(feed)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        away = closed.getsockname()[1]
    sink.options = sink.options | {"connect": f"127.0.0.1:{away}"}
    site.sender.once()
    ((attempts, reason),) = site.states("adt")[WAITING]
    assert (attempts, str(away) in reason, mrn(index) in reason) == (1, False, False)


@pytest.mark.parametrize("code", ["", SILENT])
def test_what_the_emr_sends_after_an_update_that_it_never_acknowledged_is_the_echo(updated: Updated, code: str) -> None:
    site = updated.site
    index, number = updated.stop_at()
    updated.listener.codes.append(code)
    updated.attempt()
    assert (site.emr_permits(index), len(site.states("adt")[WAITING])) == (False, 1)
    site.later(timedelta(seconds=5))
    assert site.adt(index, site.clock()) == "unchanged"
    assert not site.may_text(index)
    assert updated.start_permits(index, number), "nothing of it was the EMR's own denial"


def test_what_the_emr_sends_before_it_acknowledges_the_update_is_the_echo(updated: Updated) -> None:
    site, outcomes = updated.site, list[str]()
    index, number = updated.stop_at()
    updated.listener.before_answer = lambda: outcomes.append(site.adt(index, site.clock()))
    site.sender.once()
    assert (outcomes, len(site.states("adt")[SENT])) == (["unchanged"], 1)
    assert not site.may_text(index)
    assert updated.start_permits(index, number)


def test_an_emr_that_never_acknowledges_is_given_up_and_its_echo_is_still_ours(updated: Updated) -> None:
    site = updated.site
    index, number = updated.stop_at()
    updated.listener.codes += [SILENT] * 100
    for _ in range(100):
        updated.attempt()
        if site.states("adt")[DEAD]:
            break
        site.later(timedelta(hours=1, minutes=10))
    ((attempts, reason),) = site.states("adt")[DEAD]
    assert (attempts > 5, reason.startswith("given up after")) == (True, True)
    assert not site.may_text(index), "the opt-out does not depend on the EMR"
    assert site.adt(index, site.clock()) == "unchanged"
    assert updated.start_permits(index, number)


def refused_when_sent_again(updated: Updated) -> tuple[int, str]:
    """An opt-out that the EMR did not answer, and refused the second time: the index of its patient, and the number."""
    index, number = updated.stop_at()
    updated.listener.codes += [SILENT, "AE"]
    updated.attempt()
    updated.site.later(timedelta(minutes=5))
    updated.attempt()
    return index, number


def test_an_update_that_is_refused_when_it_is_sent_again_may_have_arrived_the_first_time(updated: Updated) -> None:
    site = updated.site
    index, number = refused_when_sent_again(updated)
    assert len(site.states("adt")[DEAD]) == 1
    assert site.adt(index, site.clock()) == "unchanged"
    assert updated.start_permits(index, number)


def test_a_denial_after_a_dead_letter_that_the_emr_contradicted_is_its_own(updated: Updated) -> None:
    site = updated.site
    index, number = refused_when_sent_again(updated)
    site.later(timedelta(minutes=5))
    site.adt(index, site.clock(), texting_ok=True)
    assert not site.may_text(index)
    site.later(timedelta(minutes=5))
    assert site.adt(index, site.clock(), texting_ok=False) == "applied"
    assert len(site.states("adt")[DEAD]) == 1, "a person must still look at it"
    assert not updated.start_permits(index, number)


@pytest.mark.parametrize("code", ["AR", "AE"])
def test_a_denial_after_an_update_that_the_emr_refused_is_its_own(updated: Updated, code: str) -> None:
    site = updated.site
    index, number = updated.stop_at()
    updated.listener.codes.append(code)
    updated.attempt()
    site.later(timedelta(minutes=5))
    assert site.adt(index, site.clock(), texting_ok=False) == "applied"
    assert not updated.start_permits(index, number)


def test_an_old_yes_that_comes_after_an_unacknowledged_update_cancels_nothing(updated: Updated) -> None:
    site = updated.site
    index, number = updated.stop_at()
    updated.listener.codes.append(SILENT)
    updated.attempt()
    for late in (timedelta(0), timedelta(seconds=30), timedelta(minutes=3)):
        site.later(late)
        site.adt(index, site.clock(), texting_ok=True)
        assert not site.may_text(index)
    site.later(timedelta(minutes=5))
    updated.attempt()
    assert len(site.states("adt")[SENT]) == 1
    site.later(timedelta(seconds=5))
    assert site.adt(index, site.clock()) == "unchanged"
    assert updated.start_permits(index, number)


def test_an_update_of_two_records_of_which_the_emr_took_one_is_unanswered(updated: Updated) -> None:
    sink: Any = updated.site.sender._sink(updated.site.runtime.feed("adt"))
    names = tuple(Identifier("GENHOSP", "MR", mrn(index)) for index in (3, 4))
    refusal = Refusal("0123456789abcdef0123456789abcdef", "consent.sms", names, updated.site.clock())
    updated.listener.before_answer = lambda: updated.listener.codes.append("AR")
    with pytest.raises(Unanswered):
        sink.write(refusal)
    assert [updated.site.emr_permits(index) is False for index in (3, 4)] == [True, False]
