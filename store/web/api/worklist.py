"""Opt-outs that staff type into EMRs which take no message (``GET /v1/worklist``), the tick, and taking it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec import Struct

from store.audit.audit_log import VIEWED_WORKLIST, Audit
from store.domain.ids import parsed, shown
from store.errors import NotOnWorklist
from store.patients.preferences import Preferences
from store.patients.worklist import ToType, Worklist
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.facesheet import IdentifierOut
from store.web.api.replies import DECIDERS, READERS
from store.web.api.wire import one_of, whole_number

MOST, AT_ONCE = 1_000, 100
WAITING, DONE = "waiting", "done"
PARAMETERS = {
    "state": "waiting (default, the oldest opt-out first) or done (the most recent tick first)",
    "limit": f"maximum number; up to {MOST}",
}


class TickIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Which opt-out, as ``GET /v1/worklist`` lists it."""

    patient: str
    source: str
    attribute: str


class WorklistOut(Struct, frozen=True):
    """An opt-out to type into an EMR. ``ticked``: when somebody marked it as typed in."""

    patient: str
    source: str
    attribute: str
    opted_out: datetime
    identifiers: tuple[IdentifierOut, ...]
    ticked: datetime | None = None


class TickOut(Struct, frozen=True):
    """The state of the opt-out now: ``waiting`` or ``done``."""

    state: str


class WorklistCalls:
    """The endpoints of the worklist."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.worklist, self.audit = store, Worklist(store.database), Audit(store.database)

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoints."""
        listed = "Opt-outs to type into EMRs that accept no messages"
        yield Endpoint("GET", "/v1/worklist", READERS, listed, self.listed, None, list[WorklistOut], PARAMETERS)
        yield Endpoint("POST", "/v1/worklist/done", DECIDERS, "Mark one as typed in", self.done, TickIn, TickOut)
        yield Endpoint("POST", "/v1/worklist/undo", DECIDERS, "Put one back on the list", self.undo, TickIn, TickOut)

    def listed(self, call: Call) -> ApiResponse:
        """The opt-outs in one state. Each view is in the audit log."""
        state, limit = one_of(call.query, "state", (WAITING, DONE)) or WAITING, whole_number(call.query, "limit", AT_ONCE, MOST)
        read = self.worklist.ticked if state == DONE else self.worklist.waiting
        found = read(self.store.enterprises[call.enterprise], limit)
        self.audit.note(call.enterprise, VIEWED_WORKLIST, "", actor=call.who, now=call.now, state=state, opt_outs=len(found))
        return ApiResponse([_out(one) for one in found])

    def done(self, call: Call) -> ApiResponse:
        """Ticks one off."""
        return self._changed(call, self.worklist.done, DONE)

    def undo(self, call: Call) -> ApiResponse:
        """Takes a tick back."""
        return self._changed(call, self.worklist.undo, WAITING)

    def _changed(self, call: Call, change: Callable[..., bool], state: str) -> ApiResponse:
        body: TickIn = call.body
        patient, enterprise = parsed(body.patient), self.store.enterprises[call.enterprise]
        if patient is None or not change(enterprise, body.source, patient, body.attribute, actor=call.actor, now=call.now):
            before = WAITING if state == DONE else DONE
            raise NotOnWorklist(f"this opt-out does not have the state {before}: see GET /v1/worklist?state={before}")
        return ApiResponse(TickOut(state))


def _out(one: ToType) -> WorklistOut:
    names = tuple(IdentifierOut(name.authority, name.type, name.value) for name in one.names)
    return WorklistOut(shown(one.patient), one.source, one.attribute, one.stated, names, one.ticked)
