"""Rejections over HTTP: listed without payloads, and replayed one by one or as a selection, with a preview."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from store.errors import NotFound, ValueRefused
from store.runs.rejection_room import TRUNCATED
from store.runs.runs import Journal, Rejection, RejectionStatus
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.runs import FILTERS, OPERATORS
from store.web.api.wire import whole_number
from store.web.http.problem import ProblemDetails
from store.web.http.work import SyncWork

AT_ONCE = 1_000
STATUS = {**FILTERS, "status": "open (default), resolved or all", "reason": "only rejections with this reason"}


class RejectionOut(Struct, frozen=True):
    """A rejection without its payload, which contains a patient's data: use the command line to see it.

    ``evidence_id``: the message's control id (MSH-10), or the resource's type and id; empty if none was found. ``attribute``: the
    preference that could not be read; ``patient``: whose it is, by the store's id. Both are empty if unknown.
    """

    id: str
    source: str
    scope: str
    status: str
    reason: str
    detail: str
    path: str
    locator: str
    times: int
    run: str | None
    first_at: datetime
    last_at: datetime
    evidence_id: str
    attribute: str
    patient: str


class ReplayOut(Struct, frozen=True):
    """The result of replaying a rejection."""

    outcome: str
    reason: str = ""
    detail: str = ""


class SelectionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Which rejections: ``ids`` (up to 1000), or the open ones of a ``source``, optionally only those with one ``reason``."""

    ids: list[str] | None = None
    source: str | None = None
    reason: str | None = None


class ReplayedOut(Struct, frozen=True):
    """The result for one rejection, and its status now. ``payload_unreadable``: its payload was erased or can no longer be decrypted."""

    id: str
    outcome: str
    reason: str
    status: str


class ReplaysOut(Struct, frozen=True):
    """The results of a selection. ``left``: open rejections of the source that remain for the next call."""

    replayed: int
    resolved: int
    left: int
    rejections: list[ReplayedOut]


class FlipOut(Struct, frozen=True):
    """An attribute of one patient that would change, without its values. ``patient`` is empty for a new patient."""

    patient: str
    attribute: str
    direction: str


class PreviewOut(Struct, frozen=True):
    """What a replay would change. ``flips``: patients who would become ``more_contactable`` or ``less_contactable``.

    ``more_changes``: how many changes are not listed. ``left``: as in the replay itself. ``resolved``: how many rejections would be
    resolved; ``open``: how many would stay open, since they, or a part of them, still cannot be read.
    """

    counts: dict[str, int]
    flips: dict[str, int]
    changes: list[FlipOut]
    more_changes: int
    left: int
    resolved: int
    open: int


class RejectionCalls:
    """The endpoints for rejections. A caller sees only their own enterprise."""

    def __init__(self, journal: Journal, work: SyncWork | None) -> None:
        self.rejection_store, self.work = journal.rejection_store, work

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoints; those that need ``work`` only if it is available."""
        yield Endpoint("GET", "/v1/rejections", OPERATORS, "Rejections", self.listed, None, list[RejectionOut], STATUS)
        if self.work is None:
            return
        yield Endpoint("POST", "/v1/rejections/{rejection_id:str}/replay", OPERATORS, "Replay a rejection", self.replay, None, ReplayOut)
        yield Endpoint("POST", "/v1/rejections/replay", OPERATORS, "Replay several rejections", self.replay_many, SelectionIn, ReplaysOut)
        preview = "Preview a replay"
        yield Endpoint("POST", "/v1/rejections/replay/preview", OPERATORS, preview, self.preview, SelectionIn, PreviewOut)

    def listed(self, call: Call) -> ApiResponse:
        """The enterprise's rejections."""
        status = call.query.get("status", RejectionStatus.OPEN)
        if status not in (*RejectionStatus, "all"):
            raise ProblemDetails(422, "invalid_request", "status must be open, resolved or all")
        limit, wanted = whole_number(call.query, "limit", 100, 1_000), None if status == "all" else status
        found = self.rejection_store.rejections(call.enterprise, call.query.get("source"), wanted, limit, call.query.get("reason"))
        return ApiResponse([rejection_out(one) for one in found])

    def replay(self, call: Call) -> ApiResponse:
        """Replays one rejection."""
        rejection = self._own(call, call.path["rejection_id"])
        return ApiResponse(ReplayOut(**self._sync_work().replay(rejection.id, call.key.name)))

    def replay_many(self, call: Call) -> ApiResponse:
        """Replays a selection, each rejection in a transaction of its own: one that fails again does not stop the others."""
        chosen, left = self._chosen(call)
        done = [ReplayedOut(**one) for one in self._sync_work().replay_many(chosen, call.key.name)]
        return ApiResponse(ReplaysOut(len(done), sum(one.status == RejectionStatus.RESOLVED for one in done), left, done))

    def preview(self, call: Call) -> ApiResponse:
        """What replaying the selection would change. Nothing is changed."""
        chosen, left = self._chosen(call)
        found = self._sync_work().preview(chosen)
        changes = [FlipOut(one["patient"], one["attribute"], one["direction"]) for one in found["changes"]]
        return ApiResponse(
            PreviewOut(found["counts"], found["flips"], changes, found["more_changes"], left, found["resolved"], found["open"])
        )

    def _chosen(self, call: Call) -> tuple[Sequence[str], int]:
        """The ids in a selection, and how many more there are."""
        body: SelectionIn = call.body
        if (body.ids is None) == (body.source is None) or (body.ids is not None and body.reason is not None):
            raise ValueRefused("select rejections by ids, or by source and optionally reason")
        if body.ids is not None:
            if len(body.ids) > AT_ONCE:
                raise ValueRefused(f"at most {AT_ONCE} ids at once")
            return [self._own(call, number).id for number in dict.fromkeys(body.ids)], 0
        found = self.rejection_store.rejections(call.enterprise, body.source, RejectionStatus.OPEN, AT_ONCE, body.reason)
        left = self.rejection_store.count(call.enterprise, body.source or "", body.reason) - len(found)
        return [one.id for one in found if one.reason != TRUNCATED], left

    def _own(self, call: Call, number: str) -> Rejection:
        rejection = self.rejection_store.summary(number)
        if rejection.enterprise != call.enterprise:
            raise NotFound("no such rejection: list them with emr-sync rejections")
        return rejection

    def _sync_work(self) -> SyncWork:
        assert self.work is not None  # otherwise the endpoint does not exist
        return self.work


def rejection_out(one: Rejection) -> RejectionOut:
    """A rejection, as JSON."""
    return RejectionOut(
        one.id, one.source, one.scope, one.status, one.reason, one.detail, one.path, one.locator, one.times, one.run_id,
        one.first_at, one.last_at, one.evidence_id, one.attribute, one.patient,
    )  # fmt: skip
