"""``GET, PUT /v1/settings``: the default settings of the caller's enterprise."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from store.domain.lock import Role
from store.patients.preferences import Preferences
from store.patients.settings import EnterpriseSettings
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.wire import SettingsIn

ENTERPRISE = frozenset({Role.ENTERPRISE})


class SettingsOut(msgspec.Struct, frozen=True):
    """The settings in force. ``do_not_contact_toggle_offered`` is false while the EMR masters Do Not Contact."""

    do_not_contact_toggle: bool
    do_not_contact_toggle_offered: bool
    when_stale: str
    when_unreadable: str
    when_preferred_impossible: str
    appointment_may_lift_dnc: bool
    staff_may_record_opt_in: bool
    sync_contact_preferences: bool


class Administration:
    """The endpoints for settings. ``changed`` is called after each change."""

    def __init__(self, store: Preferences, changed: Callable[[], None]) -> None:
        self.store, self.changed = store, changed

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoints."""
        return (
            Endpoint("GET", "/v1/settings", ENTERPRISE, "Default settings", self.read, None, SettingsOut),
            Endpoint("PUT", "/v1/settings", ENTERPRISE, "Change default settings", self.change, SettingsIn, SettingsOut),
        )

    def read(self, call: Call) -> ApiResponse:
        """The settings in force."""
        return self._shown(call, self.store.settings.get(call.enterprise))

    def change(self, call: Call) -> ApiResponse:
        """Changes some settings. The toggle cannot be changed while the EMR masters Do Not Contact."""
        changes = msgspec.to_builtins(call.body)
        settings = self.store.settings.put(call.enterprise, changes, actor=call.actor, now=call.now)
        self.changed()
        return self._shown(call, settings)

    def _shown(self, call: Call, settings: EnterpriseSettings) -> ApiResponse:
        syncs = self.store.enterprises[call.enterprise].locks
        policy = settings.policy
        return ApiResponse(
            SettingsOut(
                settings.do_not_contact_toggle,
                not syncs,
                policy.when_stale,
                policy.when_unreadable,
                policy.when_preferred_impossible,
                policy.appointment_may_lift_dnc,
                policy.staff_may_record_opt_in,
                syncs,
            )
        )
