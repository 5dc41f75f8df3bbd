"""All pages together: the menu of each role, the front page, and the static files."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from litestar import Request
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.domain.enterprise import Enterprise
from store.domain.lock import Role
from store.holds.held_settings import SettingsChanges
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from store.users.api_keys import ApiKeys
from store.users.sessions import Sessions, Visitor
from store.users.throttle import AdmitsAttempts
from store.users.users import Users
from store.web.api.decisions import Decisions
from store.web.http.lanes import Lanes
from store.web.http.work import SyncWork
from store.web.pages import audit, console, decisions, opt_outs, patients, replies, settings, users, worklist
from store.web.pages.about import About
from store.web.pages.audit import AuditLog
from store.web.pages.causes import CausePages
from store.web.pages.decisions import DecisionPages
from store.web.pages.keys import KeyPages
from store.web.pages.opt_outs import OptOutReport
from store.web.pages.overview import Overview
from store.web.pages.page import Goto, Page, PageAccess, Shown, Visit
from store.web.pages.patients import PatientPages
from store.web.pages.provider import Provider
from store.web.pages.rejections import RejectionPages
from store.web.pages.replies import RepliesPage
from store.web.pages.run_list import RunList
from store.web.pages.runs import RunPages
from store.web.pages.settings import DefaultSettings
from store.web.pages.sign_in import ALL, SignIn
from store.web.pages.sources import Describe, SourcePages
from store.web.pages.templates import CONTENT, STATIC, clock
from store.web.pages.undelivered import Undelivered
from store.web.pages.users import UserPages
from store.web.pages.worklist import WorklistPage

MENU = (
    ("/patients", "Patients", patients.READERS),
    ("/decisions", "Decisions", decisions.READERS),
    ("/opt-outs", "Opt-outs", opt_outs.READERS),
    ("/replies", "Replies", replies.READERS),
    (worklist.PATH, "EMR worklist", worklist.READERS),
    ("/settings", "Default settings", settings.ENTERPRISE),
    ("/overview", "Overview", console.OPERATORS),
    ("/sources", "Sources", console.OPERATORS),
    ("/runs", "Runs", console.OPERATORS),
    ("/rejections", "Rejections", console.OPERATORS),
    ("/audit", "Audit", audit.AUDITORS),
    ("/users", "Users", users.ADMINISTRATORS),
    ("/keys", "API keys", users.ADMINISTRATORS),
)
ROLES = {
    Role.ENTERPRISE: "enterprise user",
    Role.MANAGER: "manager",
    Role.STAFF: "staff",
    Role.OPERATOR: "operator",
    Role.AUDITOR: "auditor",
    Role.ADMINISTRATOR: "administrator",
}
WRITE_SECONDS = 60.0
log = logging.getLogger("emr_sync.web")
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may sign in and for how long, and the description of sources for operators (without secrets).

    ``provider``: the OpenID Connect provider for sign-in, if any, besides names and passwords. ``throttle`` slows down guesses of
    passwords; the pages have their own without it.
    """

    users: Users
    keys: ApiKeys
    sessions: Sessions
    describe: Describe = lambda source: About()
    provider: Provider | None = None
    throttle: AdmitsAttempts | None = None


class Site:
    """All pages of one service."""

    def __init__(
        self,
        store: Preferences,
        journal: Journal,
        access: Access,
        settings: SettingsChanges,
        *,
        work: SyncWork | None,
        clock: Callable[[], datetime],
        decisions: Decisions,
        lanes: Lanes,
    ) -> None:
        self.store, self.clock, self.lanes = store, clock, lanes
        self.page_access = PageAccess(access.sessions, self.frame, clock, lanes)
        self.sign_in = SignIn(access.users, self.page_access, store.enterprises, access.provider, access.throttle)
        self._pages: list[Page] = [
            Page("GET", "/", ALL, self.front),
            *self.sign_in.pages(),
            *PatientPages(store, decisions).pages(),
            *DecisionPages(store).pages(),
            *OptOutReport(store).pages(),
            *RepliesPage(store).pages(),
            *WorklistPage(store).pages(),
            *DefaultSettings(store, settings, decisions.policies.changed).pages(),
            *Overview(store, journal, work).pages(),
            *Undelivered(store, work).pages(),
            *SourcePages(store, journal, work, access.describe).pages(),
            *RunList(store).pages(),
            *RunPages(store, journal, work, decisions.policies.changed).pages(),
            *RejectionPages(store, journal, work).pages(),
            *CausePages(store, journal, work).pages(),
            *AuditLog(store).pages(),
            *UserPages(access.users).pages(),
            *KeyPages(access.keys).pages(),
        ]

    def handlers(self) -> Iterator[HTTPRouteHandler]:
        """The Litestar routes."""
        yield from self.sign_in.handlers()
        yield from (self.page_access.handler(page) for page in self._pages)
        yield HTTPRouteHandler("/static/{digest:str}/{name:str}", http_method="GET", status_code=200)(static)

    async def tend(self) -> None:
        """Periodically writes counted refused sign-ins to the audit log while the service runs."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self._write(self.sign_in.refusals.write_due)

    async def close(self) -> None:
        """Writes the rest when the service stops."""
        await self._write(self.sign_in.refusals.write)

    async def _write(self, write: Callable[[datetime], None]) -> None:
        try:
            await self.lanes.pages.run(write, self.clock())
        except Exception as error:
            log.error("refused sign-ins are not in the audit log yet: %s", type(error).__name__)

    def front(self, visit: Visit) -> Goto | Shown:
        """Redirects to the first page of the role's menu."""
        menu = _menu(visit.visitor, self.store.enterprises.get(visit.enterprise))
        return Goto(menu[0][0]) if menu else Shown("nothing.html", {"title": "No pages available"})

    def frame(self, visitor: Visitor | None, now: datetime) -> Mapping[str, Any]:
        """The values that every page needs."""
        enterprise = self.store.enterprises.get(visitor.enterprise) if visitor else None
        return {
            "visitor": visitor,
            "role": ROLES.get(Role(visitor.role), visitor.role) if visitor else "",
            "menu": _menu(visitor, enterprise) if visitor else [],
            "enterprise": enterprise,
            "titles": {one.name: one.display_name or one.name for one in self.store.enterprises.values()},
            "when": partial(clock, ZoneInfo(enterprise.time_zone if enterprise else "UTC")),
            "now": now,
        }


def _menu(visitor: Visitor, enterprise: Enterprise | None) -> list[tuple[str, str]]:
    """The pages of the role. The worklist is only for an enterprise with an EMR into which staff type opt-outs."""
    has_worklist = enterprise is not None and any(one.worklist for one in enterprise.sources)
    return [(where, title) for where, title, roles in MENU if visitor.role in roles and (where != worklist.PATH or has_worklist)]


async def static(request: Request[Any, Any, Any]) -> ASGIResponse:
    """A static file. Its digest is in its URL, so browsers may cache it forever."""
    name = request.path_params["name"]
    if name not in CONTENT:
        raise NotFoundException
    headers = {"cache-control": FOREVER, "x-content-type-options": "nosniff"}
    return ASGIResponse(body=CONTENT[name], headers=headers, media_type=STATIC[name])
