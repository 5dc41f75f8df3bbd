"""Default settings of the enterprise: the "Do Not Contact" setting, and the policies with what each choice does.

Permitting more contact takes two steps: the second shows how many patients would become contactable. If those are too many, another person
must approve it (``store.holds.held_settings``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from store.domain.enterprise import Enterprise
from store.domain.lock import Role
from store.domain.policies import DO_NOT_CONTACT_TOGGLE, IN_FILE_ONLY, OFFERED, SETTINGS, Choice, Setting, as_text
from store.errors import StoreError
from store.holds.held_settings import SettingsChanges
from store.patients.policy_effect import PolicyEffect
from store.patients.preferences import Preferences
from store.web.http.problem import problem_of
from store.web.pages.page import Goto, Page, Shown, Visit

ENTERPRISE = frozenset({Role.ENTERPRISE})
DONE = {
    "1": "Settings saved.",
    "held": "What stops contact was saved. What would permit it waits until another person approves it.",
}


class Configured(NamedTuple):
    """What the configuration file settles, and what that means."""

    title: str
    value: str
    does: str


def configured(enterprise: Enterprise) -> list[Configured]:
    """What people of the enterprise should know and cannot change here."""
    names = [source.display_name or source.name for source in enterprise.sources]
    return [
        Configured(
            "Contact preferences are synced",
            "yes" if enterprise.syncs else "no",
            "The EMR sets Do Not Contact and the other preferences it sends. They are locked here."
            if enterprise.syncs
            else "Contact preferences from the EMR are stored as evidence but have no effect. They are set here.",
        ),
        Configured(
            "Sources, most trusted first", ", ".join(names) or "none", "If two sources send different phones, the first source wins."
        ),
        Configured(
            "Words that reverse a STOP",
            ", ".join(sorted(enterprise.opt_in_words)),
            "Texted by the patient. They reverse only the patient's own STOP.",
        ),
        *(_in_file(one, getattr(enterprise.policy, one.name)) for one in IN_FILE_ONLY),
        Configured("Time zone", enterprise.time_zone.replace("_", " "), "Used for all times on these pages."),
    ]


def _in_file(setting: Setting, value: object) -> Configured:
    choice = setting.choice(value)
    return Configured(setting.title, choice.title.format(as_text(value)), choice.effect)


class Held(NamedTuple):
    """What the safeguard holds: settings with the choices asked for, by whom, and how many patients those would make contactable."""

    asked: list[tuple[Setting, Choice]]
    patients: int
    by: str
    since: datetime
    run: str


class DefaultSettings:
    """The settings page. ``changed`` is called after each change."""

    def __init__(self, store: Preferences, settings: SettingsChanges, changed: Callable[[], None]) -> None:
        self.store, self.settings, self.changed = store, settings, changed

    def pages(self) -> Iterable[Page]:
        """The page and its form."""
        return Page("GET", "/settings", ENTERPRISE, self.show), Page("POST", "/settings", ENTERPRISE, self.change)

    def show(self, visit: Visit) -> Shown:
        """The settings in force."""
        return self._shown(visit)

    def change(self, visit: Visit) -> Shown | Goto:
        """Saves what the form chose; asks first if that would permit more contact."""
        chosen = self._chosen(visit)
        permitting = self.settings.permitting(visit.enterprise, chosen, visit.now)
        if permitting and not visit.form.get("confirm"):
            return self._confirm(visit, permitting, chosen)
        held_before = self.settings.held(visit.enterprise)
        try:
            self.settings.put(visit.enterprise, chosen, actor=visit.actor, now=visit.now)
        except StoreError as error:
            problem = problem_of(error)
            return self._shown(visit, problem.detail, int(problem.status))
        self.changed()
        held = self.settings.held(visit.enterprise)
        return Goto(f"/settings?done={'held' if held and held != held_before else 1}")

    def _confirm(self, visit: Visit, permitting: list[PolicyEffect], chosen: Mapping[str, Any]) -> Shown:
        values = {
            "title": "Default settings",
            "permitting": permitting,
            "kept": {name: visit.form[name] for name in chosen},
            "at_once": self.settings.is_within_limit(visit.enterprise, chosen, visit.now),
        }
        return Shown("settings_confirm.html", values)

    def _chosen(self, visit: Visit) -> dict[str, Any]:
        """What the form changes. The form has all settings: one that is as it was does not take back what is held."""
        settings = self.store.settings.get(visit.enterprise)
        now = {DO_NOT_CONTACT_TOGGLE.name: settings.do_not_contact_toggle} | {
            one.name: getattr(settings.policy, one.name) for one in OFFERED
        }
        read = {name: one.read(visit.form[name]) for name, one in SETTINGS.items() if name in visit.form}
        return {name: value for name, value in read.items() if value != now[name]}

    def _held(self, visit: Visit) -> Held | None:
        found = self.settings.held(visit.enterprise)
        if found is None:
            return None
        asked = [(SETTINGS[name], SETTINGS[name].choice(value)) for name, value in found.changes.items()]
        return Held(asked, found.patients, ", ".join(found.actors), found.at, found.run_id)

    def _shown(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        enterprise = self.store.enterprises[visit.enterprise]
        settings = self.store.settings.get(visit.enterprise)
        return Shown(
            "settings.html",
            {
                "title": "Default settings",
                "syncs": enterprise.locks,
                "sources": [one.display_name or one.name for one in enterprise.sources],
                "toggle": (DO_NOT_CONTACT_TOGGLE, settings.do_not_contact_toggle),
                "policies": [(one, getattr(settings.policy, one.name)) for one in OFFERED],
                "configured": configured(enterprise),
                "refusal": refusal,
                "done": DONE.get(visit.query.get("done", ""), ""),
                "held": self._held(visit),
            },
            status,
        )
