"""The settings that a process hands to its child arrive as they are."""

from __future__ import annotations

import io
import pickle

import pytest

from store.version import version
from sync import handover
from sync.config.loading import inspect
from sync.config.problems import UsageError
from sync.config.settings import Settings
from tests.sync.test_config import EXAMPLE, EXAMPLE_ENVIRONMENT


@pytest.fixture(scope="module")
def settings() -> Settings:
    found = inspect(EXAMPLE, EXAMPLE_ENVIRONMENT).settings
    assert found is not None
    return found


def test_the_settings_of_the_whole_example_arrive_as_they_were(settings: Settings) -> None:
    assert handover.read_first(io.BytesIO(handover.first(settings))) == settings


def test_messages_arrive_in_order_until_the_connection_ends_even_in_the_middle_of_one(settings: Settings) -> None:
    stream = io.BytesIO(handover.told("a reason") + handover.told(settings) + handover.told(settings)[:-9])
    assert handover.read(stream) == "a reason"
    assert handover.read(stream) == settings
    with pytest.raises(EOFError):
        handover.read(stream)


def test_a_program_of_another_version_takes_no_settings(settings: Settings) -> None:
    with pytest.raises(UsageError, match=r"upgraded to .* but the service still runs 0\.0\.1: restart the service"):
        handover.read_first(io.BytesIO(pickle.dumps("0.0.1") + handover.told(settings)))
    assert version() != "0.0.1"


def test_a_parent_that_ended_before_it_handed_over_anything_is_noticed() -> None:
    with pytest.raises(EOFError):
        handover.read_first(io.BytesIO(b""))
