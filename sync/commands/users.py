"""``users``: who may sign in to the pages. A password is made here, shown once and kept only as a hash."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from store.domain.lock import Role
from store.users.users import User, Users, Way
from sync.commands import configured, global_options, output
from sync.commands.group import ListByDefault
from sync.commands.keys import OfEnterprise
from sync.commands.output import AsJson

users = typer.Typer(help="People who sign in: `users add NAME`, `users list`, `users disable NAME`, `users reset NAME`.", cls=ListByDefault)
Name = Annotated[str, typer.Argument(metavar="NAME", help="What they sign in with.")]


@users.command("add")
def add(
    context: typer.Context,
    name: Name,
    role: Annotated[Role, typer.Option(help="What they may do: any role but sender.")],
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """A new user, whose first password is shown now and never again; or a role in one more enterprise for a user who is there."""
    with global_options.opened(context) as parts:
        owner = configured.enterprise(parts.settings, enterprise)
        user, password = Users(parts.database).add(name, owner, role.value, parts.clock(), by=global_options.who(), provisional=True)
    _told(user, password, as_json=as_json)


@users.command("list")
def list_users(context: typer.Context, enterprise: OfEnterprise = None, as_json: AsJson = False) -> None:
    """All users, without their passwords."""
    with global_options.opened(context) as parts:
        found = Users(parts.database).list(enterprise)
    if as_json:
        output.emit([_summary(user) for user in found])
        return
    rows = [(user.name, _roles(user), user.way, user.created, user.disabled) for user in found]
    output.table(("name", "roles", "signs in with", "created", "disabled"), rows)


@users.command("disable")
def disable(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """From now on this user does not get in, and is signed out everywhere."""
    with global_options.opened(context) as parts:
        user = Users(parts.database).disable(name, parts.clock(), by=global_options.who())
    if as_json:
        output.emit(_summary(user))
    else:
        output.say(f"{user.name} is disabled; emr-sync users reset lets them in again")


@users.command("reset")
def reset(
    context: typer.Context,
    name: Name,
    way: Annotated[Way | None, typer.Option("--with", help="How they sign in from now on; left out: as before.")] = None,
    as_json: AsJson = False,
) -> None:
    """A new first password; ends the old one, every session and a disabling.

    With openid there is none: they are whoever the provider next gives their name to.
    """
    with global_options.opened(context) as parts:
        user, password = Users(parts.database).reset(name, parts.clock(), way=way.value if way else None, by=global_options.who())
    _told(user, password, as_json=as_json)


def _told(user: User, password: str | None, *, as_json: bool) -> None:
    if as_json:
        output.emit(_summary(user) | {"password": password})
    elif password is None and user.way == Way.OPENID:
        output.say(f"{user.name} signs in by OpenID Connect, and is let in again")
    elif password is None:
        output.say(f"{user.name} has these roles now: {_roles(user)}. The password stays")
    else:
        output.say(password)
        output.note(f"the first password of {user.name} ({_roles(user)}), who chooses another one with it. It is not shown again")


def _roles(user: User) -> str:
    return ", ".join(f"{role} of {enterprise}" for enterprise, role in user.roles.items())


def _summary(user: User) -> dict[str, Any]:
    return {name: getattr(user, name) for name in ("id", "name", "roles", "way", "created", "disabled")}
