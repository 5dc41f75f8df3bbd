"""Opt-outs that reached the EMR although its answer did not reach us: what it repeats is an echo all the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from adapters.base import Refusal, Sink
from store.domain.write_back import WriteBackState
from store.patients.write_backs import LEASE
from sync.write_back import WriteBackSender
from tests.sync.providers import shared_url
from tests.sync.test_write_back import IN_PATIENT, SENT, WAITING, Site, serving

OWN = WriteBackState.OWN


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, shared by the tests of this module: each has a patient of its own."""
    folder = tmp_path_factory.mktemp("unanswered")
    with shared_url(request, folder) as url, serving(url, folder, IN_PATIENT) as found:
        yield found


class Dying:
    """A sink whose process dies after the EMR has the opt-out."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def write(self, refusal: Refusal) -> bool:
        self.sink.write(refusal)
        raise SystemExit


def number_of(site: Site, state: WriteBackState) -> int:
    return len(site.states()[state])


def test_a_change_without_an_answer_is_ours_when_it_is_found_at_the_next_attempt(site: Site) -> None:
    index, number = site.patient()
    site.adt(index, site.clock())
    site.reply(number)
    sent, own = number_of(site, SENT), number_of(site, OWN)
    site.emr.written.refusals.append(0)
    site.sender.once()
    assert (site.emr_permits(index), number_of(site, WAITING)) == (False, 1)
    assert site.adt(index, site.clock()) == "unchanged"
    site.later(timedelta(minutes=5))
    site.sender.once()
    assert (number_of(site, SENT), number_of(site, OWN)) == (sent + 1, own)
    site.reply(number, "START")
    assert site.may_text(index)


def test_the_same_if_the_process_dies_before_it_can_note_the_answer(site: Site) -> None:
    index, number = site.patient()
    site.adt(index, site.clock())
    site.reply(number)
    sent, own = number_of(site, SENT), number_of(site, OWN)
    dying, feed = WriteBackSender(site.runtime), site.runtime.feed("emr")
    dying._sinks["emr"] = (feed, Dying(site.sender._sink(feed)))
    with pytest.raises(SystemExit):
        dying.once()
    assert site.emr_permits(index) is False
    assert site.adt(index, site.clock()) == "unchanged"
    site.later(LEASE + timedelta(seconds=1))
    assert WriteBackSender(site.runtime).once() == 1
    assert (number_of(site, SENT), number_of(site, OWN)) == (sent + 1, own)
    site.reply(number, "START")
    assert site.may_text(index)


@pytest.mark.parametrize("status", [503, 429])
def test_a_denial_after_an_attempt_that_the_emr_refused_is_its_own(site: Site, status: int) -> None:
    index, number = site.patient()
    site.adt(index, site.clock())
    site.reply(number)
    own = number_of(site, OWN)
    site.emr.written.refusals.append(status)
    site.sender.once()
    assert site.emr_permits(index) is True
    site.emr.chart.deny_texts(index)
    site.later(timedelta(minutes=5))
    assert site.adt(index, site.clock()) == "applied"
    site.later(timedelta(hours=1))
    site.sender.once()
    assert number_of(site, OWN) == own + 1
    site.reply(number, "START")
    assert not site.may_text(index)


@pytest.mark.parametrize("status", [502, 504])
def test_a_denial_after_an_attempt_that_only_a_gateway_answered_is_ours(site: Site, status: int) -> None:
    index, number = site.patient()
    site.adt(index, site.clock())
    site.reply(number)
    site.emr.written.refusals.append(status)
    site.sender.once()
    site.emr.chart.deny_texts(index)
    site.later(timedelta(seconds=5))
    assert site.adt(index, site.clock()) == "unchanged"
    site.reply(number, "START")
    assert site.may_text(index)


def test_an_emr_that_says_yes_between_the_attempts_ends_neither_the_stop_nor_the_attempts(site: Site) -> None:
    index, number = site.patient()
    site.adt(index, site.clock())
    site.reply(number)
    site.emr.written.refusals.append(0)
    site.sender.once()
    site.later(timedelta(minutes=3))
    site.adt(index, site.clock(), texting_ok=True)
    assert (number_of(site, WAITING), site.may_text(index)) == (1, False)
    site.later(timedelta(minutes=5))
    assert site.sender.once() == 1
    assert number_of(site, WAITING) == 0
