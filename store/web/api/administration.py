"""``GET, PUT /v1/settings``: the default settings of the caller's enterprise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from store.domain.lock import Role
from store.domain.policies import OFFERED
from store.holds.held_settings import SettingsChanges
from store.patients.preferences import Preferences
from store.patients.settings import EnterpriseSettings
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.wire import SettingsIn

ENTERPRISE = frozenset({Role.ENTERPRISE})


class HeldSettingsOut(msgspec.Struct, frozen=True):
    """Settings that await review: the run to approve or reject, and how many patients they would make contactable."""

    run: str
    since: datetime
    changes: dict[str, str | bool]
    patients: int


SettingsOut = msgspec.defstruct(
    "SettingsOut",
    [
        ("do_not_contact_toggle", bool),
        ("do_not_contact_toggle_offered", bool),
        *((one.name, type(one.default)) for one in OFFERED),
        ("sync_contact_preferences", bool),
        ("held", HeldSettingsOut | None),
    ],
    frozen=True,
    module=__name__,
    namespace={
        "__doc__": "The settings in force. ``do_not_contact_toggle_offered`` is false while the EMR masters Do Not Contact. ``held``: what "
        "the safeguard holds until another person approves or rejects it."
    },
)


class Administration:
    """The endpoints for settings. ``changed`` is called after each change."""

    def __init__(self, store: Preferences, settings: SettingsChanges, changed: Callable[[], None]) -> None:
        self.store, self.settings, self.changed = store, settings, changed

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
        """Changes some settings. What would permit contact to too many patients is held.

        The toggle cannot be changed while the EMR masters Do Not Contact.
        """
        changes = msgspec.to_builtins(call.body)
        settings = self.settings.put(call.enterprise, changes, actor=call.actor, now=call.now)
        self.changed()
        return self._shown(call, settings)

    def _shown(self, call: Call, settings: EnterpriseSettings) -> ApiResponse:
        syncs, policy = self.store.enterprises[call.enterprise].locks, settings.policy
        chosen = {one.name: getattr(policy, one.name) for one in OFFERED}
        found = self.settings.held(call.enterprise)
        held = HeldSettingsOut(found.run_id, found.at, dict(found.changes), found.patients) if found else None
        return ApiResponse(SettingsOut(settings.do_not_contact_toggle, not syncs, **chosen, sync_contact_preferences=syncs, held=held))
