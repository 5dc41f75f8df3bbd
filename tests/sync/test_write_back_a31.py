"""Opt-outs that are written to the rehearsal EMR as ADT^A31 over MLLP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.mllp_receiver import UpdateListener
from adapters.rehearsal.population import mrn
from store.domain.write_back import WriteBackState
from tests.sync.test_write_back import Site, serving

WAITING, DEAD = WriteBackState.WAITING, WriteBackState.DEAD
DENIAL = {"consent.sms": {"field": "PD1-11.1", "code": "01"}}


class Updated(NamedTuple):
    """A site that writes to the EMR's listener."""

    site: Site
    listener: UpdateListener

    def stop(self) -> int:
        """A patient whom the feed has stated opts out; their index."""
        index, number = self.site.patient()
        self.site.adt(index, self.site.clock())
        self.site.reply(number)
        return index


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
