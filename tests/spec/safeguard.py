"""The safeguard as tables (product section 8): what loosens, how many are too many, and what becomes of a held change."""

from __future__ import annotations

from typing import Any, NamedTuple

from store.preference import Phone

CELL, OTHER, HOME = (Phone(f"+1217555010{digit}", "cell", textable=True) for digit in (1, 2, 3))
AT_ONCE, WAITS = "at once", "counts"


class Change(NamedTuple):
    """A value in force that would become another, ``None`` for unknown: ``counts`` for the safeguard, or takes effect ``at once``."""

    attribute: str
    before: Any
    after: Any
    safeguard: str


CHANGES: tuple[Change, ...] = (
    Change("do_not_contact", "yes", "no", WAITS),
    Change("do_not_contact", "yes", None, WAITS),
    Change("do_not_contact", "no", "yes", AT_ONCE),
    Change("do_not_contact", None, "yes", AT_ONCE),
    Change("do_not_contact", None, "no", AT_ONCE),
    Change("do_not_contact", "no", None, AT_ONCE),
    Change("consent.sms", "denied", "granted", WAITS),
    Change("consent.sms", "denied", None, WAITS),
    Change("consent.sms", "granted", "denied", AT_ONCE),
    Change("consent.sms", None, "granted", AT_ONCE),
    Change("consent.voice#+12175550101", "denied", "granted", WAITS),
    Change("consent.email", "granted", None, AT_ONCE),
    Change("topic.billing.sms", "denied", "granted", WAITS),
    Change("topic.billing.sms", "granted", "denied", AT_ONCE),
    Change("preferred_method", "none", "sms", WAITS),
    Change("preferred_method", "none", None, WAITS),
    Change("preferred_method", "sms", "none", AT_ONCE),
    Change("preferred_method", "sms", "voice", AT_ONCE),
    Change("deceased", True, False, WAITS),
    Change("deceased", False, True, AT_ONCE),
    Change("phones", (CELL,), (OTHER,), WAITS),
    Change("phones", (CELL, HOME), (CELL, OTHER), WAITS),
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
"""(floor, percent, patients of the source, the most that may be loosened without a person)."""

ENDS: tuple[tuple[int, int, str], ...] = (
    (0, 0, "takes effect"),
    (50, 0, "takes effect"),
    (51, 0, "held"),
    (20, 30, "takes effect"),
    (20, 31, "held"),
    (1, 50, "held"),
)
"""(patients a run would loosen, waiting in other runs of its source, how it ends) with a limit of 50."""

HOURS: tuple[tuple[int, int, int], ...] = ((0, 0, 50), (49, 0, 1), (50, 0, 0), (99, 0, 0), (0, 1, 0))
"""(loosened in the last 60 minutes, waiting for a person, how many more may be) with a limit of 50."""

LIVE: tuple[tuple[str, str, str], ...] = (
    ("what fits the hour takes effect at once", "a no, b no", "a no, b no, c yes"),
    ("what does not is held", "a no, b no, c no", "a no, b no, c yes; 1 waits"),
    ("a patient counts once", "a no, a yes, a no, b no", "a no, b no, c yes"),
    ("an hour later there is room again", "a no, b no, 61 minutes, c no", "a no, b no, c no"),
    ("before that there is none", "a no, b no, 57 minutes, c no", "a no, b no, c yes; 1 waits"),
    ("each leaves the hour by itself", "a no, 30 minutes, b no, 31 minutes, c no", "a no, b no, c no"),
    ("while something waits, an hour later there is none", "a no, b no, c no, 61 minutes, d no", "a no, b no, c yes, d yes; 2 wait"),
    ("a refusal always takes effect", "a no, b no, c no, a yes", "a yes, b no, c yes; 1 waits"),
)
"""(rule, what arrives of patients who said yes to Do Not Contact, who stands how) with a limit of 2."""

HELD: tuple[tuple[str, str, str], ...] = (
    ("what is held leaves what stands", "adt yes@10, adt no@20", "yes; 1 waits"),
    ("approved, it counts", "adt yes@10, adt no@20, approve", "no"),
    ("rejected, what stands stays", "adt yes@10, adt no@20, reject", "yes"),
    ("the same payload again after a rejection is nothing new", "adt yes@10, adt no@20, reject, adt no@20", "yes"),
    ("the same word, newer, is held again", "adt yes@10, adt no@20, reject, adt no@30", "yes; 1 waits"),
    ("and can be approved then", "adt yes@10, adt no@20, reject, adt no@30, approve", "no"),
    ("a newer refusal takes its place", "adt yes@10, adt no@20, adt yes@30", "yes"),
    ("a newer loosening takes the place of the older", "adt yes@10, adt no@20, adt -@30, approve", "unknown"),
    ("late evidence leaves it", "adt yes@10, adt no@30, adt yes@20, approve", "no"),
    ("late evidence is not held itself", "adt yes@20, adt no@10", "yes"),
    ("a message that says nothing about it leaves it", "adt yes@10, adt no@20, adt ...@30, approve", "no"),
    ("the same again while it is held is held once", "adt yes@10, adt no@20, adt no@30, approve", "no"),
    ("where another source refuses, nothing is loosened", "adt yes@10, fhir yes@10, adt no@20", "yes"),
    ("a refusal of another source outlives an approval", "adt yes@10, adt no@20, fhir yes@30, approve", "yes"),
    ("what nobody decides about in time counts as rejected", "adt yes@10, adt no@20, 15 days, adt ...@30", "yes"),
    ("until then it waits", "adt yes@10, adt no@20, 13 days, adt ...@30", "yes; 1 waits"),
    ("expired, the same word is held again", "adt yes@10, adt no@20, 15 days, adt ...@30, adt no@40", "yes; 1 waits"),
)
"""(rule, what happens, Do Not Contact) with a safeguard that lets nobody through."""

CONFIGURATIONS: tuple[tuple[str, str, str, str, str], ...] = (
    ("sync is switched off", "sync adt fhir", "no sync adt fhir", "adt yes", "yes; waits"),
    ("and nobody had refused", "sync adt fhir", "no sync adt fhir", "adt no", "unknown"),
    ("sync is switched on, and the EMR refuses", "no sync adt", "sync adt", "adt yes", "yes"),
    ("sync is switched on, and would lift a local yes", "no sync adt", "sync adt", "staff yes, adt no", "yes; waits"),
    ("a source left: it still speaks", "sync adt fhir", "sync fhir", "adt yes, fhir no", "yes"),
    ("the sources change places: one yes is a yes", "sync adt fhir", "sync fhir adt", "adt yes, fhir no", "yes"),
    ("a source is new", "sync adt", "sync adt fhir", "adt yes", "yes"),
)
"""(change, the configuration before, after, what was said of the patient, Do Not Contact then) with a safeguard that lets nobody
through."""
