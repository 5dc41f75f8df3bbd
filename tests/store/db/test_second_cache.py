"""What is asked all the time is read once a second, and a change is never outlived by what was read before it."""

from __future__ import annotations

from threading import Thread

import pytest

from store.db.second_cache import KEPT_SECONDS, LONGEST_SECONDS, SecondCache

NAME = "general"


class Settings:
    """A value that counts how often it is read. ``meanwhile`` happens while it is."""

    def __init__(self) -> None:
        self.now, self.reads, self.in_force = 0.0, 0, "flag"
        self.kept = SecondCache(self.read, lambda: self.now)
        self.meanwhile = lambda: None

    def read(self, name: str) -> str:
        self.reads += 1
        found = self.in_force
        self.meanwhile()
        return found

    def get(self) -> str:
        return self.kept.get(NAME)


def test_a_value_is_read_once_a_second() -> None:
    settings = Settings()
    assert [settings.get() for _ in range(3)] == ["flag"] * 3
    settings.now, settings.in_force = KEPT_SECONDS, "refuse"
    assert (settings.get(), settings.reads) == ("refuse", 2)


def test_a_clock_that_was_set_back_keeps_nothing() -> None:
    settings = Settings()
    settings.kept.get(NAME, 100.0)
    assert (settings.kept.get(NAME, 99.0), settings.reads) == ("flag", 2)


def test_each_key_has_its_own_value() -> None:
    cache = SecondCache(str.upper)
    assert [cache.get(name) for name in ("a", "b", "a")] == ["A", "B", "A"]


def test_a_change_here_counts_at_once() -> None:
    settings = Settings()
    settings.get()
    settings.in_force = "refuse"
    settings.kept.changed()
    assert settings.get() == "refuse"


def test_a_look_counts_at_once_for_everybody() -> None:
    settings = Settings()
    settings.get()
    settings.in_force = "refuse"
    assert settings.kept.look(NAME) == settings.get() == "refuse"


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    settings = Settings()

    def change() -> None:
        settings.meanwhile = lambda: None
        settings.in_force = "refuse"
        settings.kept.changed()

    settings.meanwhile = change
    settings.get()
    assert settings.get() == "refuse"


@pytest.mark.parametrize(("age", "answer"), [(KEPT_SECONDS, "flag"), (LONGEST_SECONDS, "refuse")])
def test_while_one_caller_reads_the_others_get_the_previous_value_unless_it_is_old(age: float, answer: str) -> None:
    settings = Settings()
    settings.get()
    answered: list[str] = []

    def ask() -> None:
        settings.meanwhile = lambda: None
        other = Thread(target=lambda: answered.append(settings.get()), daemon=True)
        other.start()
        other.join(20)

    settings.now, settings.in_force, settings.meanwhile = age, "refuse", ask
    assert (settings.get(), answered) == ("refuse", [answer])


def test_a_reading_that_fails_leaves_the_next_caller_to_read() -> None:
    settings = Settings()
    settings.get()

    def fail() -> None:
        settings.meanwhile = lambda: None
        raise OSError

    settings.now, settings.meanwhile = KEPT_SECONDS, fail
    try:
        settings.get()
    except OSError:
        settings.in_force = "refuse"
    assert settings.get() == "refuse"
