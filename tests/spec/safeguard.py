"""The safeguard as tables (product section 8): which changes permit contact, the limit, and what happens to a held change."""

from __future__ import annotations

from typing import Any, NamedTuple

from store.preference import Phone

CELL, OTHER, HOME = (Phone(f"+1217555010{digit}", "cell", textable=True) for digit in (1, 2, 3))
AT_ONCE, MAY_BE_HELD = "is applied at once", "may be held"


class Change(NamedTuple):
    """A change from one value in force to another; ``None`` is unknown. The safeguard may hold the change, or it is applied at once."""

    attribute: str
    before: Any
    after: Any
    safeguard: str


CHANGES: tuple[Change, ...] = (
    Change("do_not_contact", "yes", "no", MAY_BE_HELD),
    Change("do_not_contact", "yes", None, MAY_BE_HELD),
    Change("do_not_contact", "no", "yes", AT_ONCE),
    Change("do_not_contact", None, "yes", AT_ONCE),
    Change("do_not_contact", None, "no", AT_ONCE),
    Change("do_not_contact", "no", None, AT_ONCE),
    Change("consent.sms", "denied", "granted", MAY_BE_HELD),
    Change("consent.sms", "denied", None, MAY_BE_HELD),
    Change("consent.sms", "granted", "denied", AT_ONCE),
    Change("consent.sms", None, "granted", AT_ONCE),
    Change("consent.voice#+12175550101", "denied", "granted", MAY_BE_HELD),
    Change("consent.email", "granted", None, AT_ONCE),
    Change("topic.billing.sms", "denied", "granted", MAY_BE_HELD),
    Change("topic.billing.sms", "granted", "denied", AT_ONCE),
    Change("preferred_method", "none", "sms", MAY_BE_HELD),
    Change("preferred_method", "none", None, MAY_BE_HELD),
    Change("preferred_method", "sms", "none", AT_ONCE),
    Change("preferred_method", "sms", "voice", AT_ONCE),
    Change("deceased", True, False, MAY_BE_HELD),
    Change("deceased", False, True, AT_ONCE),
    Change("phones", (CELL,), (OTHER,), MAY_BE_HELD),
    Change("phones", (CELL, HOME), (CELL, OTHER), MAY_BE_HELD),
    Change("phones", (CELL,), (CELL, OTHER), AT_ONCE),
    Change("phones", (CELL, OTHER), (CELL,), AT_ONCE),
    Change("phones", (), (CELL,), AT_ONCE),
    Change("phones", (CELL,), (), AT_ONCE),
    Change("email", ("a@example.test",), ("b@example.test",), AT_ONCE),
    Change("language", "es", "en", AT_ONCE),
    Change("restricted", True, False, AT_ONCE),
)

LIMITS: tuple[tuple[int, float, int, int], ...] = (
    (50, 5, 0, 50),
    (50, 5, 1_000, 50),
    (50, 5, 1_019, 50),
    (50, 5, 1_020, 51),
    (50, 5, 20_000, 1_000),
    (50, 0.5, 20_000, 100),
    (0, 5, 19, 0),
    (0, 5, 20, 1),
    (0, 0, 20_000, 0),
    (0, 100, 9, 9),
)
"""(floor, percent, patients of the source, how many may become more contactable without a person)."""

ENDS: tuple[tuple[int, int, str], ...] = (
    (0, 0, "takes effect"),
    (50, 0, "takes effect"),
    (51, 0, "held"),
    (20, 30, "takes effect"),
    (20, 31, "held"),
    (1, 50, "held"),
)
"""(patients a run would make more contactable, held in other runs of its source, how it ends) with a limit of 50."""

HOURS: tuple[tuple[int, int, int], ...] = ((0, 0, 50), (49, 0, 1), (50, 0, 0), (99, 0, 0), (0, 1, 0))
"""(made more contactable in the last 60 minutes, held, how many more are allowed) with a limit of 50."""

LIVE: tuple[tuple[str, str, str], ...] = (
    ("changes within the limit are applied at once", "a no, b no", "a no, b no, c yes"),
    ("changes beyond the limit are held", "a no, b no, c no", "a no, b no, c yes; 1 held"),
    ("a patient counts once", "a no, a yes, a no, b no", "a no, b no, c yes"),
    ("an hour later there is room again", "a no, b no, 61 minutes, c no", "a no, b no, c no"),
    ("within the hour there is no room", "a no, b no, 57 minutes, c no", "a no, b no, c yes; 1 held"),
    ("each patient leaves the hour separately", "a no, 30 minutes, b no, 31 minutes, c no", "a no, b no, c no"),
    ("while a change is held, there is no room an hour later", "a no, b no, c no, 61 minutes, d no", "a no, b no, c yes, d yes; 2 held"),
    ("a refusal is always applied", "a no, b no, c no, a yes", "a yes, b no, c yes; 1 held"),
)
"""(rule, what arrives about patients with Do Not Contact, the result for each) with a limit of 2."""

HELD: tuple[tuple[str, str, str], ...] = (
    ("a held change leaves the value in force", "adt yes@10, adt no@20", "yes; 1 held"),
    ("an approved change is applied", "adt yes@10, adt no@20, approve", "no"),
    ("a rejected change leaves the value in force", "adt yes@10, adt no@20, reject", "yes"),
    ("the same payload again after a rejection changes nothing", "adt yes@10, adt no@20, reject, adt no@20", "yes"),
    ("the same statement at a newer time is held again", "adt yes@10, adt no@20, reject, adt no@30", "yes; 1 held"),
    ("the newer statement can be approved", "adt yes@10, adt no@20, reject, adt no@30, approve", "no"),
    ("a newer refusal replaces the held change", "adt yes@10, adt no@20, adt yes@30", "yes"),
    ("a newer change that permits contact replaces the older one", "adt yes@10, adt no@20, adt -@30, approve", "unknown"),
    ("late evidence leaves the held change", "adt yes@10, adt no@30, adt yes@20, approve", "no"),
    ("late evidence is not held", "adt yes@20, adt no@10", "yes"),
    ("a message without a statement leaves the held change", "adt yes@10, adt no@20, adt ...@30, approve", "no"),
    ("a repeat of a held change is held once", "adt yes@10, adt no@20, adt no@30, approve", "no"),
    ("if another source refuses, nothing permits contact", "adt yes@10, fhir yes@10, adt no@20", "yes"),
    ("a refusal of another source survives an approval", "adt yes@10, adt no@20, fhir yes@30, approve", "yes"),
    ("an expired change counts as rejected", "adt yes@10, adt no@20, 15 days, adt ...@30", "yes"),
    ("before it expires it is held", "adt yes@10, adt no@20, 13 days, adt ...@30", "yes; 1 held"),
    (
        "after expiry, a newer statement is held again",
        "adt yes@10, adt no@20, 15 days, adt ...@30, adt no@40",
        "yes; 1 held",
    ),
)
"""(rule, what happens, Do Not Contact) with a limit of 0."""

CONFIGURATIONS: tuple[tuple[str, str, str, str, str], ...] = (
    ("sync is switched off", "sync adt fhir", "no sync adt fhir", "adt yes", "yes; held"),
    ("sync is switched off, and there was no refusal", "sync adt fhir", "no sync adt fhir", "adt no", "unknown"),
    ("sync is switched on, and the EMR refuses", "no sync adt", "sync adt", "adt yes", "yes"),
    ("sync is switched on and would end a local yes", "no sync adt", "sync adt", "staff yes, adt no", "yes; held"),
    ("a source is removed: its statements still count", "sync adt fhir", "sync fhir", "adt yes, fhir no", "yes"),
    ("the order of sources changes: one yes is a yes", "sync adt fhir", "sync fhir adt", "adt yes, fhir no", "yes"),
    ("a source is added", "sync adt", "sync adt fhir", "adt yes", "yes"),
)
"""(change, the configuration before, after, what was stated about the patient, the resulting Do Not Contact) with a limit of 0."""
