"""Writes the spec tables to docs/decision-rules.md: ``python -m tests.spec.render [--check]``. ``--check`` fails on an old page."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from store.domain import reasons, sms_consent
from store.domain.attributes import entry
from store.domain.channels import GOVERNS
from store.domain.lock import TOGGLE_REASONS
from store.domain.message_class import MessageClass
from store.domain.policies import POLICIES, Choice
from tests.spec.access import CALLS, KEYS, PAGES, ROLES
from tests.spec.attributes import ATTRIBUTE_ROWS
from tests.spec.identity import IDENTITY
from tests.spec.order import ORDER
from tests.spec.replies import REPLIES
from tests.spec.revocations import MESSAGES, REVOCATIONS
from tests.spec.safeguard import CHANGES, CONFIGURATIONS, ENDS, HELD, HOURS, LIMITS, LIVE
from tests.spec.situation import Table
from tests.spec.tables import TABLES
from tests.spec.toggles import TOGGLES

PAGE = Path(__file__).parents[2] / "docs" / "decision-rules.md"
HEAD = """\
# Decision rules

Look up here what a decision will be, and why: which settings apply to which message, which evidence counts, what a reply to a text
means, what the safeguard holds, and who may call what.

Every row is a test. The page is rendered from the tables in `tests/spec` by `python -m tests.spec.render`, and `make check` fails if
it is stale. [The rules](rules.md) explains the rules in words. The code is in `store/domain`: `decision.py`, `channels.py`, `lock.py`,
`assertions.py`, `sms_consent.py` and `contactability.py`.

An answer lists the channel and the address used, then each skipped channel with its reason, then notes; or *no* and the reason.
Two failures matter most, in this order: contacting somebody who refused, and silently not contacting somebody who should be reminded.

## Rules that the table of message types does not show

- A patient who opted out on a line with any number is not texted on that line at any other number.
- A request without `line` may come from any line, so any opt-out counts. A request without `topic` may be about any topic, so an opt-out
  from one topic counts too. The EMR's topic permissions count only for a topic that the request names.
- The EMR's denial for one number closes that number only. Its denial for the patient closes the channel. A grant never overrides a
  denial.
- Preferred method *none* is a refusal: `when_preferred_impossible: next` does not bypass it.
- A preferred number counts only while it is on file and in its period.
- An appointment's number that is not on file may be called. It is not texted, because it may not be mobile.
- An appointment can lift Do Not Contact (by policy only) for the method or number it names, and for nothing else.
- A patient of another enterprise is unknown: the answer does not reveal that the patient exists.
- Restricted (VIP) and inactive records are answered like any other.
"""


def page() -> str:
    """The whole document."""
    parts = [
        HEAD,
        _governance(),
        _policies(),
        *map(_table, TABLES),
        _identity(),
        _attributes(),
        _toggles(),
        _order(),
        _replies(),
        _safeguard(),
        _access(),
        _codes(),
    ]
    return "\n".join(parts)


def _governance() -> str:
    effect = {True: "obeyed", False: "ignored"}
    rows = (
        (
            name,
            "blocks" if rule.do_not_contact else "ignored",
            effect[rule.method],
            effect[rule.number],
            effect[rule.topic],
            "blocks",
            "blocks",
        )
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
    return _section("Settings by message type", "", head, rows)


def _policies() -> str:
    about = (
        "An enterprise chooses them in the configuration file: in its `policy` group, or beside it where the last column says so.\n"
        "Enterprise users can change those of the group on the page *Default settings* or with `PUT /v1/settings`. The value in bold is\n"
        "the default. A change that permits contact to more patients than the safeguard allows waits for another person."
    )
    rows = (
        (
            f"`{one.name}`: {one.title}" if choice is one.choices[0] else "",
            f"**{_written(choice)}**" if choice is one.choice(one.default) else _written(choice),
            f"*{choice.title}.* {choice.effect}" if one.offered else choice.effect,
            "more" if choice.permits else "",
            "" if one.offered else "beside `policy`; file only",
        )
        for one in POLICIES
        for choice in one.choices
    )
    return _section("Policies", about, ("policy", "value", "effect", "permits contact", "where"), rows)


def _written(choice: Choice) -> str:
    return "left out" if choice.value is None else "a day" if choice.value is date else f"`{choice.text}`"


def _table(table: Table) -> str:
    return _section(table.title, table.about, ("situation", "answer"), ((case.situation, f"`{case.answer}`") for case in table.cases))


def _identity() -> str:
    about = (
        "The first source's own identifiers are GENHOSP/MR and GENHOSP/MRN, the clinic's are CLINIC/MR and its record ids (RI). EMPI "
        "identifiers link."
    )
    rows = ((row.rule, "; ".join(row.known), row.comes, f"`{row.about}`") for row in IDENTITY)
    return _section(
        "Which patient a payload is about", about, ("rule", "known patients", "identifiers of the payload", "it is about"), rows
    )


def _attributes() -> str:
    about = (
        "What a source says about an attribute that needs sync counts only in an enterprise that syncs contact preferences. An attribute\n"
        "that locks cannot be changed here once a source has stated it."
    )
    head = ("attribute", "title", "refuses", "of several sources counts", "needs sync", "locks")
    rows = (
        (
            f"`{one.attribute}`",
            entry(one.attribute).title,
            "" if one.refuses is None else _plain(one.refuses),
            one.counts,
            "yes" if one.needs_sync else "",
            "yes" if one.locks else "",
        )
        for one in ATTRIBUTE_ROWS
    )
    return _section("Attributes", about, head, rows)


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
    head = ("enterprise syncs", "default setting", "role", "toggle", "control", "attempt to change it")
    about = "The value is locked as soon as the enterprise syncs. Writing the current value is not an error."
    return _section("The Do Not Contact toggle", about, head, rows)


def _order() -> str:
    about = (
        "`adt yes@10` is a source's statement, true since 10; with `10~20`, since some time from 10 to 20. `-` clears it, `...` does not\n"
        "state it. `2:` is about a second record, which `merge@50` joins to the first. `staff` is the toggle. Events arrive in the\n"
        "order of the row."
    )
    rows = ((rule, f"`{events}`", f"`{answer}`") for rule, events, answer in ORDER)
    return _section("Which evidence counts", about, ("rule", "what arrives", "Do Not Contact"), rows)


def _replies() -> str:
    rows = ((f"`{body!r}`", kind or "not recognised", scope or "") for body, kind, scope in REPLIES)
    about = (
        "Any reasonable wording opts out. A longer text that contains such a word, or one that is a typo away, waits for review. Texts "
        "are suspended until then. An opt-in is the keyword alone. START undoes the patient's own STOP on that line, never a denial by "
        "staff or the EMR."
    )
    replies = _section("Replies to a text", about, ("reply", "means", "scope"), rows)
    confirmations = _section(
        "Confirmations", "", ("confirmation", "what to send"), ((f"`{code}`", text) for code, text in sms_consent.CONFIRMATIONS.items())
    )
    return f"{replies}\n{_revocations()}\n{confirmations}"


def _revocations() -> str:
    about = (
        "By the policy `revocation_scope` of the day on which the patient replied, and by the message that the reply answered. A sender "
        "states the category and topic of a message in each request; one that is not stated counts as any of them."
    )
    rows = ((f"`{one.scope}`", f"`{one.body}`", _answered(one.answered), _ended(one.own), _ended(one.others)) for one in REVOCATIONS)
    return _section("What a STOP ends", about, ("policy", "reply", "in reply to", "ends, from its line", "and from other lines"), rows)


def _answered(answered: MessageClass) -> str:
    parts = (answered.message_type, answered.category, f"about {answered.topic}" if answered.topic else None)
    return ", ".join(part for part in parts if part) or "unknown"


def _ended(messages: tuple[str, ...]) -> str:
    return "all texts" if messages == MESSAGES else "; ".join(messages) or "nothing"


def _safeguard() -> str:
    return "\n".join((_changes(), _limits(), _held(), _configurations()))


def _changes() -> str:
    about = (
        "These are values in force, so a change permits nothing while another authority refuses. A change that permits contact is held\n"
        "if too many patients have one. Everything else is applied at once, in a held run too. A change to a new patient is never held."
    )
    rows = ((one.attribute, _plain(one.before), _plain(one.after), one.safeguard) for one in CHANGES)
    return _section("The safeguard: which changes permit contact", about, ("attribute", "in force", "would become", "the change"), rows)


def _limits() -> str:
    limit = _section(
        "The safeguard: the limit",
        "The limit is the larger of `safeguard.floor` and `safeguard.percent` of the source's patients, rounded down.",
        ("floor", "percent", "patients of the source", "limit"),
        (tuple(map(str, row)) for row in LIMITS),
    )
    ends = _section(
        "The safeguard: how a run ends",
        "With a limit of 50. Patients held in other runs of the source are added.",
        ("patients it would make more contactable", "held in other runs", "the changes that permit contact"),
        ((str(loosened), str(waiting), "are held" if ends == "held" else "are applied") for loosened, waiting, ends in ENDS),
    )
    hour = _section(
        "The safeguard: the rolling hour of a live feed",
        "With a limit of 50. A patient counts once. The hour is the 60 minutes before each message, and survives a restart.",
        ("made more contactable in the hour", "held", "how many more are allowed"),
        (tuple(map(str, row)) for row in HOURS),
    )
    live = _section(
        "The safeguard: a live feed, message by message",
        "With a limit of 2. Do Not Contact was yes for all patients.",
        ("rule", "what arrives", "Do Not Contact"),
        ((rule, f"`{events}`", f"`{answer}`") for rule, events, answer in LIVE),
    )
    return "\n".join((limit, ends, hour, live))


def _held() -> str:
    about = "With a limit of 0; notation as under *Which evidence counts*. Held changes expire after 14 days."
    rows = ((rule, f"`{events}`", f"`{answer}`") for rule, events, answer in HELD)
    return _section("The safeguard: what happens to a held change", about, ("rule", "what happens", "Do Not Contact"), rows)


def _configurations() -> str:
    about = (
        "With a limit of 0. While a configuration is held, the former one stays in force; refusals under the new one are applied\n"
        "already. `sync adt fhir` is an enterprise that syncs from two sources, in this order."
    )
    head = ("change", "before", "after", "statements", "Do Not Contact")
    rows = ((change, *(f"`{cell}`" for cell in cells)) for change, *cells in CONFIGURATIONS)
    return _section("The safeguard: a changed configuration", about, head, rows)


def _access() -> str:
    about = "By kind of key. Without a valid key: 401. With a key of another kind: 403. For data of another enterprise: 404."
    calls = _section("Who may call what", about, ("call", *KEYS), _marks({one: call.keys for one, call in CALLS.items()}, KEYS))
    about = "By role of the signed-in user. Everybody else sees only the sign-in page."
    return f"{calls}\n{_section('Who may use which page', about, ('page', *ROLES), _marks(PAGES, ROLES))}"


def _marks(table: Mapping[tuple[str, str], Collection[str]], columns: Sequence[str]) -> Iterable[Sequence[str]]:
    for (method, path), who in table.items():
        yield (f"`{method} {path.replace(':str}', '}')}`", *("yes" if one in who else "" for one in columns))


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(one if isinstance(one, str) else one.number for one in value) or "none"
    return {None: "unknown", True: "yes", False: "no"}.get(value, str(value))


def _codes() -> str:
    families = (
        ("Reasons: the message is refused", reasons.REFUSALS),
        ("Reasons: a channel is skipped", reasons.SKIPS),
        ("Notes on a message that may be sent", reasons.NOTES),
        ("Reasons of the sender's own client", reasons.CLIENT),
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
    """Exit code 1 if ``--check`` finds the page stale."""
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
