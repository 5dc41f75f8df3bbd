"""The pages as a whole: who gets which menu, the front page, and the static files."""

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
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.domain.lock import Role
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from store.users.sessions import Sessions, Visitor
from store.users.users import Users
from store.web.http.lanes import Lanes
from store.web.http.problem import ProblemDetails
from store.web.http.work import SyncWork
from store.web.pages import audit, console, opt_outs, patients, replies, settings
from store.web.pages.about import About
from store.web.pages.audit import AuditLog
from store.web.pages.opt_outs import OptOutReport
from store.web.pages.page import Goto, Page, PageAccess, Shown, Visit
from store.web.pages.patients import PatientPages
from store.web.pages.provider import Provider
from store.web.pages.rejections import RejectionPages
from store.web.pages.replies import RepliesPage
from store.web.pages.runs import RunPages
from store.web.pages.settings import DefaultSettings
from store.web.pages.sign_in import ALL, SignIn
from store.web.pages.sources import Describe, SourcePages
from store.web.pages.templates import CONTENT, STATIC, clock

MENU = (
    ("/patients", "Patients", patients.READERS),
    ("/opt-outs", "Opt-outs", opt_outs.READERS),
    ("/replies", "Replies", replies.READERS),
    ("/settings", "Default settings", settings.ENTERPRISE),
    ("/sources", "Sources", console.OPERATORS),
    ("/rejections", "Rejections", console.OPERATORS),
    ("/audit", "Audit", audit.AUDITORS),
)
ROLES = {
    Role.ENTERPRISE: "enterprise user",
    Role.MANAGER: "manager",
    Role.STAFF: "staff",
    Role.OPERATOR: "operator",
    Role.AUDITOR: "auditor",
}
TENDED_SECONDS = 60.0
log = logging.getLogger("emr_sync.web")
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may sign in, and for how long; and how a source's configuration reads to engineers, without its secrets.

    ``provider`` lets people in beside names and passwords, where there is one.
    """

    users: Users
    sessions: Sessions
    describe: Describe = lambda source: About()
    provider: Provider | None = None


class Site:
    """All pages of one service."""

    def __init__(
        self,
        store: Preferences,
        journal: Journal,
        access: Access,
        *,
        work: SyncWork | None,
        clock: Callable[[], datetime],
        settings_changed: Callable[[], None],
        lanes: Lanes,
    ) -> None:
        self.store, self.clock, self.lanes = store, clock, lanes
        self.door = PageAccess(access.sessions, self.frame, clock, lanes)
        self.sign_in = SignIn(access.users, self.door, store.enterprises, access.provider)
        self._pages: list[Page] = [
            Page("GET", "/", ALL, self.front),
            *self.sign_in.pages(),
            *PatientPages(store).pages(),
            *OptOutReport(store).pages(),
            *RepliesPage(store).pages(),
            *DefaultSettings(store, settings_changed).pages(),
            *SourcePages(store, journal, work, access.describe).pages(),
            *RunPages(store, journal, work).pages(),
            *RejectionPages(store, journal, work).pages(),
            *AuditLog(store).pages(),
        ]

    def handlers(self) -> Iterator[HTTPRouteHandler]:
        """The addresses for Litestar."""
        yield from self.sign_in.handlers()
        yield from (self.door.handler(page) for page in self._pages)
        yield HTTPRouteHandler("/static/{digest:str}/{name:str}", http_method="GET", status_code=200)(static)

    async def tend(self) -> None:
        """Writes refused sign-ins that were only counted yet, when their time has come, for as long as the service runs."""
        while True:
            await asyncio.sleep(TENDED_SECONDS)
            await self._written(self.sign_in.refusals.write_due)

    async def close(self) -> None:
        """The same when the service stops."""
        await self._written(self.sign_in.refusals.write)

    async def _written(self, write: Callable[[datetime], None]) -> None:
        try:
            await self.lanes.pages.run(write, self.clock())
        except Exception as error:
            log.error("refused sign-ins are not in the audit log yet: %s", type(error).__name__)

    def front(self, visit: Visit) -> Goto | Shown:
        """The first page of a role's menu."""
        menu = _menu(visit.visitor)
        return Goto(menu[0][0]) if menu else Shown("nothing.html", {"title": "No pages available"})

    def frame(self, visitor: Visitor | None, now: datetime) -> Mapping[str, Any]:
        """What is around every page."""
        enterprise = self.store.enterprises.get(visitor.enterprise) if visitor else None
        return {
            "visitor": visitor,
            "role": ROLES.get(Role(visitor.role), visitor.role) if visitor else "",
            "menu": _menu(visitor) if visitor else [],
            "enterprise": enterprise,
            "titles": {one.name: one.display_name or one.name for one in self.store.enterprises.values()},
            "when": partial(clock, ZoneInfo(enterprise.time_zone if enterprise else "UTC")),
            "now": now,
        }


def _menu(visitor: Visitor) -> list[tuple[str, str]]:
    return [(where, title) for where, title, roles in MENU if visitor.role in roles]


async def static(request: Request[Any, Any, Any]) -> ASGIResponse:
    """A file of ours. Its digest is in its address, so a browser may keep it for ever."""
    name = request.path_params["name"]
    if name not in CONTENT:
        raise ProblemDetails(404, "not_found", "file not found")
    headers = {"cache-control": FOREVER, "x-content-type-options": "nosniff"}
    return ASGIResponse(body=CONTENT[name], headers=headers, media_type=STATIC[name])
