"""``replies``: unclear replies to texts that wait for a person."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from store.audit.audit_log import VIEWED_REPLIES, Audit
from store.domain.sms_consent import OPT_OUT, REVIEW
from store.patients.replies import STATES, KeptReply
from store.patients.reply_review import DISMISS, HANDLE
from store.web.api.facesheet import as_json as plain
from store.web.api.reply_json import reply_out
from sync.commands import configured, global_options, output
from sync.commands.configured import OfEnterprise
from sync.commands.group import ListByDefault
from sync.commands.output import AsJson, Limit
from sync.runtime import UsageError

replies = typer.Typer(
    help="Replies that wait for a person: `replies`, `replies opt-out ID`, `replies dismiss ID`, `replies handled ID`.",
    cls=ListByDefault,
)
ReplyId = Annotated[str, typer.Argument(metavar="ID", help="The id that `replies` shows.")]
DONE = {OPT_OUT: "opted out", DISMISS: "dismissed", HANDLE: "handled"}
Reason = Annotated[str, typer.Option(help="The reason, recorded with the decision.")]


@replies.command("list")
def list_replies(
    context: typer.Context,
    state: Annotated[str, typer.Option(help="review, opt_out, dismissed, appointment or handled.")] = REVIEW,
    limit: Limit = 50,
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """List replies that may be opt-outs, newest first. They contain patients' own words; the access is recorded."""
    if state not in STATES:
        raise UsageError(f"--state must be one of {', '.join(STATES)}")
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        found = runtime.preferences.replies.some(owner, state, limit)
        Audit(runtime.database).note(
            owner, VIEWED_REPLIES, "", actor=global_options.who(), now=runtime.clock(), state=state, replies=len(found)
        )
    if as_json:
        output.emit([_plain(one) for one in found])
        return
    rows = [(one.id, one.received, one.number, one.line, _text(one), len(one.patients)) for one in found]
    output.table(("reply", "received", "from", "line", "text", "patients"), rows)


@replies.command("opt-out")
def opt_out(context: typer.Context, number: ReplyId, reason: Reason = "", enterprise: OfEnterprise = None, as_json: AsJson = False) -> None:
    """Treat the reply as an opt-out."""
    _decide(context, number, OPT_OUT, reason, enterprise, as_json)


@replies.command("dismiss")
def dismiss(context: typer.Context, number: ReplyId, reason: Reason = "", enterprise: OfEnterprise = None, as_json: AsJson = False) -> None:
    """Dismiss the reply: not an opt-out. Texts may be sent again, unless something else stops them."""
    _decide(context, number, DISMISS, reason, enterprise, as_json)


@replies.command("handled")
def handled(context: typer.Context, number: ReplyId, reason: Reason = "", enterprise: OfEnterprise = None, as_json: AsJson = False) -> None:
    """Mark an opt-out that may also cancel an appointment as handled. It stays an opt-out."""
    _decide(context, number, HANDLE, reason, enterprise, as_json)


def _decide(context: typer.Context, number: str, decision: str, reason: str, enterprise: str | None, as_json: bool) -> None:
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        found = runtime.preferences.decide_reply(owner, number, decision, actor=global_options.person(), reason=reason, now=runtime.clock())
    if as_json:
        output.emit(_plain(found))
    else:
        output.say(DONE[decision])


def _text(one: KeptReply) -> str:
    return "(not kept)" if one.body is None else one.body


def _plain(one: KeptReply) -> dict[str, Any]:
    found: dict[str, Any] = plain(reply_out(one))
    return found
