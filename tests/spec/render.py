"""Writes the spec tables as docs/decision-rules.md: ``python -m tests.spec.render [--check]``. ``--check`` fails when it is stale."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from store.domain import reasons, sms_consent
from store.domain.channels import GOVERNS
from store.domain.lock import TOGGLE_REASONS
from tests.spec.access import CALLS, KEYS, PAGES, ROLES
from tests.spec.identity import IDENTITY
from tests.spec.order import ORDER
from tests.spec.replies import REPLIES
from tests.spec.safeguard import CHANGES, CONFIGURATIONS, ENDS, HELD, HOURS, LIMITS, LIVE
from tests.spec.situation import Table
from tests.spec.tables import TABLES
from tests.spec.toggles import TOGGLES

PAGE = Path(__file__).parents[2] / "docs" / "decision-rules.md"
HEAD = """\
# Decision rules

Every row on this page is a test: it is written from the tables in `tests/spec` by `python -m tests.spec.render`, and `make check`
fails when it is stale. The rules themselves are `store/domain/decision.py`, `store/domain/channels.py`, `store/domain/lock.py` and
`store/domain/sms_consent.py`.

An answer reads: the channel and the address used, then each channel that was skipped with its reason, then notes; or *no* and why.
Two failures matter most, in this order: contacting somebody who said no, and silently not contacting somebody who should be reminded.

## Rules that the table of message types leaves open

- A patient who opted out on a line with any number is not texted on that line at any other number.
- An ask without `line` may come from any line, so any opt-out counts. An ask without `topic` may be about any topic, so an opt-out
  from one topic counts too. The EMR's topic permissions are asked only for a topic that is named.
- The EMR's denial for one number closes that number only; its denial for the patient closes the channel. A grant never outweighs a
  denial.
- Preferred method *none* is a no: `when_preferred_impossible: next` does not go around it.
- A preferred number counts only while it is on file and in its period.
- An appointment's number that is not on file may be called and, as nobody knows whether it is mobile, not texted.
- Where an appointment lifts Do Not Contact (by policy only), it does so for the method or number it names, and for nothing else.
- A patient of another enterprise is unknown: nothing tells that it exists.
- Restricted (VIP) and inactive records are answered like any other.
"""


def page() -> str:
    """The whole document."""
    parts = [HEAD, _governance(), *map(_table, TABLES), _identity(), _toggles(), _order(), _replies(), _safeguard(), _access(), _codes()]
    return "\n".join(parts)


def _governance() -> str:
    word = {True: "obeyed", False: "ignored"}
    rows = (
        (name, "blocks" if rule.do_not_contact else "ignored", word[rule.method], word[rule.number], word[rule.topic], "blocks", "blocks")
        for name, rule in GOVERNS.items()
    )
    head = (
        "message type",
        "Do Not Contact",
        "preferred method",
        "preferred number",
        "topic permission",
        "SMS consent",
        "voice, e-mail consent",
    )
    return _section("What governs a message", "", head, rows)


def _table(table: Table) -> str:
    return _section(table.title, table.about, ("situation", "answer"), ((case.situation, f"`{case.answer}`") for case in table.cases))


def _identity() -> str:
    about = (
        "Of the first source GENHOSP/MR and GENHOSP/MRN are own identifiers, of the clinic CLINIC/MR and its record ids (RI); EMPI links. "
        "Case of a value matters."
    )
    rows = ((row.rule, "; ".join(row.known), row.comes, f"`{row.about}`") for row in IDENTITY)
    return _section("Whom a payload is about", about, ("rule", "patients who are known", "a payload with", "is about"), rows)


def _toggles() -> str:
    rows = (
        (
            "yes" if cell.syncs else "no",
            "on" if cell.setting_on else "off",
            str(cell.role),
            "visible" if cell.visible else "not shown",
            "can change it" if cell.enabled else TOGGLE_REASONS[cell.reason],
            f"`{cell.refusal}`" if cell.refusal else "done",
        )
        for cell in TOGGLES
    )
    head = ("enterprise syncs", "default setting", "role", "toggle", "may flip", "an attempt to change it")
    about = "The lock is on from the moment the enterprise syncs. Writing the value that already stands is no error."
    return _section("The Do Not Contact toggle", about, head, rows)


def _order() -> str:
    about = (
        "`adt yes@10` is what a source says, true since 10, or with `10~20` since some time from 10 to 20; `-` takes it back, `...`\n"
        "says nothing about it; `2:` speaks of a second record, which `merge@50` joins to the first; `staff` is the toggle. They\n"
        "arrive in the order of the row."
    )
    rows = ((rule, f"`{events}`", f"`{answer}`") for rule, events, answer in ORDER)
    return _section("Which evidence counts", about, ("rule", "what arrives", "Do Not Contact"), rows)


def _replies() -> str:
    rows = ((f"`{body!r}`", kind or "not recognised", scope or "") for body, kind, scope in REPLIES)
    about = (
        "Any reasonable wording opts out. A longer text that contains such a word, and one that is a typo away, is for a person to review; "
        "texts are suspended until then. An opt-in is nothing but its keyword. START undoes the patient's own STOP on that line, "
        "never a denial by staff or the EMR."
    )
    words = _section("Replies to a text", about, ("reply", "means", "scope"), rows)
    confirmations = _section(
        "Confirmations", "", ("class", "what to say"), ((f"`{code}`", text) for code, text in sms_consent.CONFIRMATIONS.items())
    )
    return f"{words}\n{confirmations}"


def _safeguard() -> str:
    return "\n".join((_changes(), _limits(), _held(), _configurations()))


def _changes() -> str:
    about = (
        "Values in force, so nothing loosens while another authority refuses. A change that counts for the safeguard waits where too many\n"
        "patients have one; everything else takes effect at once, in a held run too. A patient that is new loosens nothing."
    )
    rows = ((one.attribute, _plain(one.before), _plain(one.after), one.safeguard) for one in CHANGES)
    return _section("The safeguard: what loosens", about, ("attribute", "in force", "would become", "for the safeguard it"), rows)


def _limits() -> str:
    limit = _section(
        "The safeguard: how many are too many",
        "The larger of `safeguard.floor` and `safeguard.percent` of the source's patients, rounded down.",
        ("floor", "percent", "patients of the source", "limit"),
        (tuple(map(str, row)) for row in LIMITS),
    )
    ends = _section(
        "The safeguard: how a run ends",
        "With a limit of 50. What waits in other runs of the source counts with it.",
        ("patients it would loosen", "waiting", "its loosening changes"),
        ((str(loosened), str(waiting), "are held" if ends == "held" else "take effect") for loosened, waiting, ends in ENDS),
    )
    hour = _section(
        "The safeguard: a live feed's hour",
        "With a limit of 50; a patient counts once. The hour is the 60 minutes before each message, and survives a restart.",
        ("loosened in the hour", "waiting", "how many more may be"),
        (tuple(map(str, row)) for row in HOURS),
    )
    live = _section(
        "The safeguard: a live feed, message by message",
        "With a limit of 2. All had said yes to Do Not Contact.",
        ("rule", "what arrives", "Do Not Contact"),
        ((rule, f"`{events}`", f"`{answer}`") for rule, events, answer in LIVE),
    )
    return "\n".join((limit, ends, hour, live))


def _held() -> str:
    about = "With a safeguard that lets nobody through; written as under *Which evidence counts*. Undecided sets expire after 14 days."
    rows = ((rule, f"`{events}`", f"`{answer}`") for rule, events, answer in HELD)
    return _section("The safeguard: what becomes of a held change", about, ("rule", "what happens", "Do Not Contact"), rows)


def _configurations() -> str:
    about = (
        "With a safeguard that lets nobody through. While a configuration waits, the former stays in force; what the new one\n"
        "refuses counts already. `sync adt fhir` is an enterprise that syncs from two sources, in this order."
    )
    head = ("change", "before", "after", "what was said", "Do Not Contact")
    rows = ((change, *(f"`{cell}`" for cell in cells)) for change, *cells in CONFIGURATIONS)
    return _section("The safeguard: a changed configuration", about, head, rows)


def _access() -> str:
    about = "By kind of key. Without a key that holds: 401; with one of another kind: 403; what another enterprise owns is not there: 404."
    calls = _section("Who may call what", about, ("call", *KEYS), _marks({one: call.keys for one, call in CALLS.items()}, KEYS))
    about = "By role of who signed in; nobody else gets further than the sign-in page."
    return f"{calls}\n{_section('Who may see what', about, ('page', *ROLES), _marks(PAGES, ROLES))}"


def _marks(table: Mapping[tuple[str, str], Collection[str]], columns: Sequence[str]) -> Iterable[Sequence[str]]:
    for (method, path), who in table.items():
        yield (f"`{method} {path.replace(':str}', '}')}`", *("yes" if one in who else "" for one in columns))


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(one if isinstance(one, str) else one.number for one in value) or "none"
    return {None: "unknown", True: "yes", False: "no"}.get(value, str(value))


def _codes() -> str:
    families = (
        ("Reasons: nothing is sent", reasons.REFUSALS),
        ("Reasons: a channel is skipped", reasons.SKIPS),
        ("Notes beside a message that may be sent", reasons.NOTES),
        ("Said by the sender's own client", reasons.CLIENT),
    )
    return "\n".join(
        _section(title, "", ("code", "meaning"), ((f"`{code}`", text) for code, text in codes.items())) for title, codes in families
    )


def _section(title: str, about: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"## {title}", "", *([about, ""] if about else []), _row(head), _row(["---"] * len(head)), *map(_row, rows), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 when ``--check`` finds the page stale."""
    text = page()
    if "--check" not in arguments:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.name} is stale: run 'python -m tests.spec.render'", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
