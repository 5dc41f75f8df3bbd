"""Policies are read once a second, and a change is never outlived by what was read before it."""

from __future__ import annotations

from store.domain.policies import Policy
from store.patients.settings import EnterpriseSettings
from store.web.http.policies import KEPT_SECONDS, Policies


class Settings:
    """Settings that count how often they are read. ``meanwhile`` happens while they are."""

    def __init__(self) -> None:
        self.now, self.reads = 0.0, 0
        self.in_force = EnterpriseSettings()
        self.policies = Policies(self.read, lambda: self.now)
        self.meanwhile = lambda: None

    def read(self, enterprise: str) -> EnterpriseSettings:
        self.reads += 1
        found = self.in_force
        self.meanwhile()
        return found


def test_a_policy_is_read_once_a_second() -> None:
    settings = Settings()
    assert [settings.policies.get("general") for _ in range(3)] == [Policy()] * 3
    settings.now += KEPT_SECONDS
    settings.in_force = EnterpriseSettings(policy=Policy(when_stale="refuse"))
    assert settings.policies.get("general").when_stale == "refuse"
    assert settings.reads == 2


def test_a_change_here_counts_at_once() -> None:
    settings = Settings()
    settings.policies.get("general")
    settings.in_force = EnterpriseSettings(policy=Policy(when_stale="refuse"))
    settings.policies.changed()
    assert settings.policies.get("general").when_stale == "refuse"


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    settings = Settings()

    def change() -> None:
        settings.meanwhile = lambda: None
        settings.in_force = EnterpriseSettings(policy=Policy(when_stale="refuse"))
        settings.policies.changed()

    settings.meanwhile = change
    settings.policies.get("general")
    assert settings.policies.get("general").when_stale == "refuse"
