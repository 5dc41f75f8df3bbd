"""Operators' page of one cause of rejections: what it does to patients, the fix, and its replay with a preview in place.

A cause has no id of its own: its page is that of any of its rejections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from store.domain.enterprise import Enterprise
from store.errors import StoreError
from store.patients.preferences import Preferences
from store.runs.causes import Affected, Cause, Causes, OpenCause
from store.runs.rejection_room import TRUNCATED
from store.runs.runs import Journal, Rejection, RejectionStatus
from store.web.http.problem import ProblemDetails, problem_of
from store.web.http.work import SyncWork, UnmappedCode
from store.web.pages import labels
from store.web.pages.console import OPERATORS, own_rejection
from store.web.pages.page import Goto, Page, Shown, Visit

AT_ONCE = 200
"""At most so many rejections are previewed and replayed with one form, so that a page does not keep a worker for minutes."""
CODE = "code_unmapped"


class ShownCause(NamedTuple):
    """A cause in words. ``effect``: what it does to patients; ``example``: its newest rejection.

    ``is_configured``: its source is one of the enterprise, not a messaging provider or a source that is gone, which have no page.
    """

    open: OpenCause
    title: str
    source: str
    effect: str
    example: Rejection
    is_configured: bool


class Flip(NamedTuple):
    """A change that a replay would make, with its number of patients."""

    attribute: str
    direction: str
    patients: int


def titled(cause: Cause) -> str:
    """A cause in words: its reason, and the preference it is about."""
    reason = labels.reason_title(cause.reason)
    return f"{reason}: {labels.title(cause.attribute)}" if cause.attribute else reason


def shown_causes(store: Preferences, journal: Journal, enterprise: str, open_causes: Sequence[OpenCause]) -> list[ShownCause]:
    """The causes in words, each with its example."""
    rules = store.enterprises[enterprise]
    refuses = store.settings.get(enterprise).policy.when_unreadable == "refuse"
    affected = Causes(store.database).unreadable(enterprise, [one.cause for one in open_causes])
    examples = journal.rejection_store.summaries([one.example for one in open_causes])
    return [_shown(one, rules, examples[one.example], affected.get(one.cause), refuses=refuses) for one in open_causes]


def _shown(one: OpenCause, rules: Enterprise, example: Rejection, affected: Affected | None, *, refuses: bool) -> ShownCause:
    effect = _effect(one.cause, example, affected, refuses=refuses)
    source = one.cause.source
    return ShownCause(one, titled(one.cause), labels.source(source, rules), effect, example, rules.source(source) is not None)


def _effect(cause: Cause, example: Rejection, affected: Affected | None, *, refuses: bool) -> str:
    if cause.reason == TRUNCATED:
        return "More payloads were rejected than the hourly limit keeps. The senders must send them again."
    if example.scope == "record":
        return "Nothing in these messages was applied."
    if affected is None or not affected.examined:
        left_out = labels.title(cause.attribute) if cause.attribute else "this part"
        return f"Only {left_out} was left out. The rest of each record was applied."
    if not affected.patients:
        return "Nothing is waiting for it now: newer data could be read."
    number = f"{'' if affected.is_all else 'At least '}{affected.patients:,}"
    verb = "patient has" if affected.patients == 1 else "patients have"
    then = "Messages that depend on it are not sent to them." if refuses else "Decisions about them use the previous data and are flagged."
    return f"{number} {verb} newer data about {labels.title(cause.attribute)} that cannot be read. {then}"


class CausePages:
    """The page and its two forms. A visitor sees only their own enterprise."""

    def __init__(self, store: Preferences, journal: Journal, work: SyncWork | None) -> None:
        self.store, self.journal, self.work, self.causes = store, journal, work, Causes(store.database)

    def pages(self) -> Iterable[Page]:
        """All pages; preview and replay only if ``work`` is available."""
        yield Page("GET", "/rejections/{rejection_id:str}/cause", OPERATORS, self.show)
        if self.work is not None:
            yield Page("POST", "/rejections/{rejection_id:str}/cause/preview", OPERATORS, self.preview)
            yield Page("POST", "/rejections/{rejection_id:str}/cause/replay", OPERATORS, self.replay)

    def show(self, visit: Visit) -> Shown:
        """Shows a cause."""
        return self._cause(visit)

    def preview(self, visit: Visit) -> Shown:
        """Shows what replaying the open rejections of the cause would change, and offers it."""
        ids = self.causes.rejections(visit.enterprise, self._of(visit), AT_ONCE)
        try:
            found = self.work.preview(ids) if self.work and ids else {}
        except StoreError as error:
            return self._refused(visit, error)
        return self._cause(visit, previewed={"ids": " ".join(ids), "many": len(ids), **_in_words(found)} if ids else None)

    def replay(self, visit: Visit) -> Shown | Goto:
        """Replays what was previewed, as far as it is still open."""
        cause, wanted = self._of(visit), set(visit.form.get("ids", "").split())
        if not wanted:
            raise ProblemDetails(422, "invalid_request", "preview the replay first")
        ids = [one for one in self.causes.rejections(visit.enterprise, cause, AT_ONCE) if one in wanted]
        try:
            done = self.work.replay_many(ids, visit.visitor.name) if self.work else []
        except StoreError as error:
            return self._refused(visit, error)
        resolved = sum(one["status"] == RejectionStatus.RESOLVED for one in done)
        return Goto(f"/rejections/{visit.path['rejection_id']}/cause?resolved={resolved}&of={len(done)}")

    def _of(self, visit: Visit) -> Cause:
        one = own_rejection(self.journal, visit)
        return Cause(one.source, one.reason, one.path, one.attribute)

    def _refused(self, visit: Visit, error: StoreError) -> Shown:
        problem = problem_of(error)
        return self._cause(visit, problem.detail, int(problem.status))

    def _cause(self, visit: Visit, refusal: str = "", status: int = 200, previewed: Mapping[str, Any] | None = None) -> Shown:
        cause = self._of(visit)
        found = self.causes.one(visit.enterprise, cause)
        shown = shown_causes(self.store, self.journal, visit.enterprise, [found]) if found else []
        codes = self._codes(visit, cause)
        visible = [one.code for one in codes or () if one.code]
        values = {
            "title": titled(cause),
            "cause": cause,
            "one": shown[0] if shown else None,
            "codes": codes,
            "may_see_codes": self._may_see_codes(visit, cause),
            "fix": self.work.fix(cause.source, cause.reason, cause.attribute, visible) if self.work else "",
            "rejection": visit.path["rejection_id"],
            "may_replay": self.work is not None and cause.reason != TRUNCATED,
            "previewed": previewed,
            "at_once": AT_ONCE,
            "refusal": refusal,
            "done": _done(visit.query),
        }
        return Shown("cause.html", values, status)

    def _may_see_codes(self, visit: Visit, cause: Cause) -> bool:
        is_source = self.store.enterprises[visit.enterprise].source(cause.source) is not None
        return self.work is not None and cause.reason == CODE and is_source

    def _codes(self, visit: Visit, cause: Cause) -> Sequence[UnmappedCode] | None:
        """The codes, only if the URL requests them: payloads are decrypted for it, and the audit log records who requested that."""
        if not visit.query.get("codes") or not self._may_see_codes(visit, cause) or self.work is None:
            return None
        return [one for one in self.work.codes(cause.source, visit.visitor.name) if one.path == cause.path]


def _in_words(found: Mapping[str, Any]) -> dict[str, Any]:
    changes = Counter((one["attribute"], one["direction"]) for one in found["changes"])
    flips = [Flip(labels.title(name), direction.replace("_", " "), many) for (name, direction), many in sorted(changes.items())]
    counts = {outcome: many for outcome, many in found["counts"].items() if many}
    statuses = {status: found[status] for status in ("resolved", "open")}
    return {"counts": counts, **found["flips"], "changes": flips, "more_changes": found["more_changes"], **statuses}


def _done(query: Mapping[str, Any]) -> str:
    resolved, of = (str(query.get(name, "")) for name in ("resolved", "of"))
    if not (resolved.isdecimal() and of.isdecimal()):
        return ""
    rest = "" if resolved == of else " The others still cannot be used."
    return f"{int(resolved):,} of {int(of):,} replayed and resolved.{rest}"
