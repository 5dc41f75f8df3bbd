"""A service with content on every page: held, rejected, running, opted out, merged, locked, and long data."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from store import times
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.preference import Identifier, PatientMerge, Phone, Problem
from store.runs.runs import Rejected
from store.runs.source_checks import Checked, Findings
from tests.store.web.conftest import CELL, HOME, LINE, NOW, statements
from tests.store.web.pages.conftest import Pages
from tests.store.web.pages.test_console import held, rejected
from tests.store.web.pages.test_decisions import UNANSWERED, decided
from tests.store.web.pages.test_held_configuration import held_configuration
from tests.store.web.pages.test_settings import asked_for_approval
from tests.store.web.pages.test_sources import full_read, record_intake
from tests.store.web.pages.test_undelivered import dead, disabled

SOURCE, ENTERPRISE = "genhosp-adt", "general"
LONG = "averylongnamethatnobodyhasbutthatmustnotbreakthepage.example.test"


class Filled:
    """Fills the pages once. The attributes name what they show."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.rejection = rejected(pages)
        self.resolved = self._resolved()
        self.unusable = self._unusable()
        self.done = full_read(pages, unchanged=1990, applied=8, stale=1, rejected=4)
        record_intake(pages, applied=1200, unchanged=34, rejected=3)
        record_intake(pages, timedelta(hours=3), applied=7)
        self._patients()
        self._opt_outs()
        self._unreadable()
        self.decision, self.unanswered = decided(pages, ENTERPRISE), decided(pages, ENTERPRISE, "", UNANSWERED)
        self._checked()
        self.configuration = held_configuration(pages)
        self.held = held(pages)
        self.settings = asked_for_approval(pages)
        disabled(pages)
        dead(pages)
        self.failed = self._failed()
        self._accounts()
        self.running = pages.journal.start(SOURCE, ENTERPRISE, "resync", now=pages.moment()).id

    def patient(self, value: str, enterprise: str = ENTERPRISE) -> str:
        """The path of a facesheet."""
        return self.pages.patient(value, enterprise)

    def _resolved(self) -> str:
        number = rejected(self.pages, "local", "clinic")
        with self.pages.store.database.write("local") as transaction:
            self.pages.journal.resolve(transaction, number)
        return number

    def _unusable(self) -> str:
        """A rejection that no mapping can end, at a long path."""
        path = f"Patient.extension('http://{LONG}/StructureDefinition/contact').valueCodeableConcept.coding.code"
        row = Rejected("not_fhir", f"{LONG} is no resource", path, f"inbox/{LONG}", b"{}", evidence_id=f"Patient/{LONG}")
        with self.pages.store.database.write(ENTERPRISE) as transaction:
            self.pages.journal.reject(transaction, [row], source=SOURCE, enterprise=ENTERPRISE, run_id=None, now=NOW)
        return next(one.id for one in self.pages.journal.rejections(ENTERPRISE, SOURCE) if one.reason == "not_fhir")

    def _accounts(self) -> None:
        """Users and keys in every state."""
        users, keys, now = self.pages.users, self.pages.keys, self.pages.moment()
        for name in (f"disabled {LONG}", "in two enterprises", "front desk"):
            users.add(name, ENTERPRISE, "staff", now)
        users.disable(f"disabled {LONG}", now)
        users.add("in two enterprises", "local", "auditor", now)
        number, _ = keys.create(f"reminders of {LONG}", ENTERPRISE, "sender", now, expires=now + timedelta(days=90), grants=["patients"])
        keys.note_use(number, now)
        keys.create("expired", ENTERPRISE, "operator", now, expires=now)
        keys.revoke(keys.create("revoked", ENTERPRISE, "auditor", now)[0], now)

    def _failed(self) -> str:
        run = self.pages.journal.start(SOURCE, ENTERPRISE, "incremental", now=self.pages.moment())
        return self.pages.journal.finish(run, "failed", "the EMR does not answer: check its address", self.pages.moment()).id

    def _patients(self) -> None:
        kinds = ("cell", "home", "work", "other")
        phones = tuple(Phone(f"+1217555{110 + n:04d}", kind, "", None, n % 2 == 0) for n, kind in enumerate(kinds))
        stated = {
            "do_not_contact": "yes", "preferred_method": "sms", "preferred_phone": phones[0].number, "phones": phones,
            "email": (f"somebody@{LONG}",), "language": "es", "consent.voice": "denied", f"consent.sms#{phones[0].number}": "denied",
            "topic.billing.sms": "denied", "topic.recalls.voice": "granted", "display_name": f"1 {LONG} {LONG}", "birth_date": "1934-11",
        }  # fmt: skip
        everything = [statements("LONG", f"L{turn}", **{**stated, "do_not_contact": ("yes", "no")[turn % 2]}) for turn in range(4)]
        later = [replace(one, effective=times.at(NOW + timedelta(seconds=turn))) for turn, one in enumerate(everything)]
        dead = statements("DEAD", "D1", deceased=True, phones=phones[:1], display_name="1 Ana García-López", birth_date="1980-02-03")
        closed = statements("CLOSED", "C1", restricted=True, active=False, display_name="1 Sean O'Brien")
        bare = statements("BARE", "B1", do_not_contact="no")
        gone = statements("GONE", "G1", do_not_contact="no", phones=phones[1:2])
        merge = PatientMerge((Identifier("GENHOSP", "MR", "BARE"),), (Identifier("GENHOSP", "MR", "GONE"),), times.at(NOW), "A40")
        for item in (*later, dead, closed, bare, gone, merge):
            with self.pages.store.database.write(ENTERPRISE) as transaction:
                self.pages.store.apply_many(transaction, ENTERPRISE, SOURCE, [item], now=self.pages.moment())

    def _opt_outs(self) -> None:
        store = self.pages.store
        store.record_reply(ENTERPRISE, LINE, CELL, "STOPALL", NOW, NOW)
        store.record_reply(ENTERPRISE, LINE, HOME, "STOP", NOW, NOW)
        for body in ("please cancel my order", f"wrong number {LONG}", "I'll stop by at noon <b>&"):
            store.record_reply(ENTERPRISE, LINE, HOME, body, NOW, NOW)
        (dismissed, *_) = store.replies.some(ENTERPRISE)
        store.decide_reply(ENTERPRISE, dismissed.id, "dismiss", actor=Actor(Role.STAFF, "desk"), reason="an order", now=NOW)
        patient = store.find(ENTERPRISE, PatientRef(value="LONG"))
        store.record_sms_opt_out(ENTERPRISE, patient.id, line=None, topic="billing", actor=Actor(Role.STAFF, "desk"), now=NOW)
        typed = store.find("quiet", PatientRef(value="MRN1"))
        store.record_sms_opt_out("quiet", typed.id, line=None, topic=None, actor=Actor(Role.STAFF, "desk"), now=NOW)

    def _unreadable(self) -> None:
        """A patient of whom the EMR allows texts and who opted out, and whose Do Not Contact could not be read."""
        phones, store = (Phone("+12175550144", "cell", "", 1, True),), self.pages.store
        stated = {"display_name": "Ada Example", "do_not_contact": "no", "consent.sms": "granted", "phones": phones}
        problem = Problem("code_unmapped", "ZCP-2", "", "do_not_contact")
        later = replace(statements("UNREAD", "U2"), effective=times.at(NOW), problems=(problem,))
        with store.database.write(ENTERPRISE) as transaction:
            store.apply_many(transaction, ENTERPRISE, SOURCE, [statements("UNREAD", "U1", **stated), later], now=NOW)
        store.record_reply(ENTERPRISE, LINE, phones[0].number, "STOP", NOW, NOW)

    def _checked(self) -> None:
        lines = (Checked("token", False, "the server granted fewer scopes than requested"), Checked("plan", True, "full reads"))
        Findings(self.pages.store.database).keep_check(SOURCE, ENTERPRISE, lines, now=NOW)
