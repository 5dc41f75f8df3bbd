"""``GET, PUT /v1/settings``: the default settings of the caller's enterprise."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from store.domain.lock import Role
from store.domain.policies import OFFERED
from store.patients.preferences import Preferences
from store.patients.settings import EnterpriseSettings
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.wire import SettingsIn

ENTERPRISE = frozenset({Role.ENTERPRISE})


SettingsOut = msgspec.defstruct(
    "SettingsOut",
    [
        ("do_not_contact_toggle", bool),
        ("do_not_contact_toggle_offered", bool),
        *((one.name, type(one.default)) for one in OFFERED),
        ("sync_contact_preferences", bool),
    ],
    frozen=True,
    module=__name__,
    namespace={"__doc__": "The settings in force. ``do_not_contact_toggle_offered`` is false while the EMR masters Do Not Contact."},
)


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
        syncs, policy = self.store.enterprises[call.enterprise].locks, settings.policy
        chosen = {one.name: getattr(policy, one.name) for one in OFFERED}
        return ApiResponse(SettingsOut(settings.do_not_contact_toggle, not syncs, **chosen, sync_contact_preferences=syncs))
