"""``keys``: who may call the API. A key is shown once and kept only as a digest."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from store.domain.lock import Grant, Role
from store.users.api_keys import ApiKey
from sync.commands import configured, global_options, output, times
from sync.commands.group import ListByDefault
from sync.commands.output import AsJson

keys = typer.Typer(help="API keys: `keys create NAME`, `keys list`, `keys grant ID GRANT`, `keys revoke ID`.", cls=ListByDefault)
SHOWN = ("key", "name", "enterprise", "role", "created", "revoked", "expires", "last_used", "grants")
OfEnterprise = Annotated[str | None, typer.Option("--enterprise", help="The enterprise. Optional if only one is configured.")]


@keys.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who will use it; shown in the history.")],
    role: Annotated[Role, typer.Option(help="The role of the key.")],
    enterprise: OfEnterprise = None,
    expires: Annotated[str | None, typer.Option(help="How long it is valid: 90d, 12h. Default: until revoked.")] = None,
    grant: Annotated[list[Grant] | None, typer.Option(help="An extra permission for a sender's key.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. It is shown only once."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        now = runtime.clock()
        until = times.later(now, expires, "--expires")
        grants = [one.value for one in grant or ()]
        number, secret = runtime.keys.create(name, owner, role.value, now, expires=until, grants=grants, by=global_options.who())
    if as_json:
        created = {"id": number, "key": secret, "name": name, "enterprise": owner, "role": role.value, "expires": until}
        output.emit({**created, "grants": grants})
        return
    output.say(secret)
    ends = f", until {until:%Y-%m-%d %H:%M} UTC" if until else ""
    output.note(f"key {number} of {owner}, role {role.value}{ends}. Save it now: it is not shown again")


@keys.command("list")
def list_keys(context: typer.Context, enterprise: OfEnterprise = None, as_json: AsJson = False) -> None:
    """List all keys, without their secrets."""
    with global_options.opened(context) as runtime:
        found = runtime.keys.list(enterprise)
    if as_json:
        output.emit([_summary(key) for key in found])
    else:
        output.table(SHOWN, [list(_row(key).values()) for key in found])


@keys.command("grant")
def grant(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="ID")],
    grants: Annotated[list[Grant] | None, typer.Argument(metavar="GRANT...", help="Leave out to remove all grants.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replace the grants of a sender's key."""
    with global_options.opened(context) as runtime:
        key = runtime.keys.grant(number, [one.value for one in grants or ()], runtime.clock(), by=global_options.who())
    if as_json:
        output.emit(_summary(key))
    else:
        output.say(f"key {key.id} ({key.name}) now has {', '.join(sorted(key.grants)) or 'no grants'}")


@keys.command("revoke")
def revoke(context: typer.Context, number: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Revoke a key, effective immediately."""
    with global_options.opened(context) as runtime:
        key = runtime.keys.revoke(number, runtime.clock(), by=global_options.who())
    if as_json:
        output.emit(_summary(key))
    else:
        output.say(f"key {key.id} ({key.name}) was revoked")


def _summary(key: ApiKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in ("id", *SHOWN[1:-1])} | {"grants": sorted(key.grants)}


def _row(key: ApiKey) -> dict[str, Any]:
    """The same for people. A use is known to the hour."""
    return _summary(key) | {"last_used": f"in the hour from {output.word(key.last_used)}" if key.last_used else None}
