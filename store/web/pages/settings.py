"""Default settings of the enterprise: the "Do Not Contact" setting, and the policies with what each choice does.

Permitting more contact takes two steps: the second shows how many patients would become contactable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from store.domain.enterprise import Enterprise
from store.domain.lock import Role
from store.domain.policies import DO_NOT_CONTACT_TOGGLE, IN_FILE_ONLY, OFFERED, SETTINGS, Setting, as_text
from store.errors import StoreError
from store.patients.policy_effect import PolicyEffect, PolicyEffects
from store.patients.preferences import Preferences
from store.web.http.problem import problem_of
from store.web.pages.page import Goto, Page, Shown, Visit

ENTERPRISE = frozenset({Role.ENTERPRISE})


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


class DefaultSettings:
    """The settings page. ``changed`` is called after each change."""

    def __init__(self, store: Preferences, changed: Callable[[], None]) -> None:
        self.store, self.changed, self.effects = store, changed, PolicyEffects(store.database, store.freshness)

    def pages(self) -> Iterable[Page]:
        """The page and its form."""
        return Page("GET", "/settings", ENTERPRISE, self.show), Page("POST", "/settings", ENTERPRISE, self.change)

    def show(self, visit: Visit) -> Shown:
        """The settings in force."""
        return self._shown(visit)

    def change(self, visit: Visit) -> Shown | Goto:
        """Saves what the form chose; asks first if that would permit more contact."""
        chosen = {name: one.read(visit.form[name]) for name, one in SETTINGS.items() if name in visit.form}
        permitting = self._permitting(visit, chosen)
        if permitting and not visit.form.get("confirm"):
            kept = {name: visit.form[name] for name in chosen}
            return Shown("settings_confirm.html", {"title": "Default settings", "permitting": permitting, "kept": kept})
        try:
            self.store.settings.put(visit.enterprise, chosen, actor=visit.actor, now=visit.now)
        except StoreError as error:
            problem = problem_of(error)
            return self._shown(visit, problem.detail, int(problem.status))
        self.changed()
        return Goto("/settings?done=1")

    def _permitting(self, visit: Visit, chosen: Mapping[str, Any]) -> list[PolicyEffect]:
        """The choices that would permit more contact. Odd choices are left to :meth:`SettingsStore.put`, which refuses them."""
        policies = {one.name: chosen[one.name] for one in OFFERED if one.name in chosen and one.takes(chosen[one.name])}
        before = self.store.settings.get(visit.enterprise).policy
        return self.effects.permitting(self.store.enterprises[visit.enterprise], before, replace(before, **policies), visit.now)

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
                "done": "Settings saved." if visit.query.get("done") else "",
            },
            status,
        )
