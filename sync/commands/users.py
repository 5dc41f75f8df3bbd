"""``users``: who may sign in to the pages. A password is generated, shown once and stored only as a hash."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from store.domain.lock import Role
from store.users.users import User, Users, Way
from sync.commands import configured, global_options, output
from sync.commands.group import ListByDefault
from sync.commands.keys import OfEnterprise
from sync.commands.output import AsJson

users = typer.Typer(help="Users of the pages: `users add NAME`, `users list`, `users disable NAME`, `users reset NAME`.", cls=ListByDefault)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The user name.")]


@users.command("add")
def add(
    context: typer.Context,
    name: Name,
    role: Annotated[Role, typer.Option(help="The role: any but sender.")],
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """Add a user, whose first password is shown only once; or give an existing user a role in another enterprise."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        user, password = Users(runtime.database).add(name, owner, role.value, runtime.clock(), by=global_options.who(), provisional=True)
    _show(user, password, as_json=as_json)


@users.command("list")
def list_users(context: typer.Context, enterprise: OfEnterprise = None, as_json: AsJson = False) -> None:
    """List all users, without passwords."""
    with global_options.opened(context) as runtime:
        found = Users(runtime.database).list(enterprise)
    if as_json:
        output.emit([_summary(user) for user in found])
        return
    rows = [(user.name, _roles(user), user.way, user.created, user.disabled) for user in found]
    output.table(("name", "roles", "signs in with", "created", "disabled"), rows)


@users.command("disable")
def disable(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Disable a user and end all their sessions."""
    with global_options.opened(context) as runtime:
        user = Users(runtime.database).disable(name, runtime.clock(), by=global_options.who())
    if as_json:
        output.emit(_summary(user))
    else:
        output.say(f"{user.name} was disabled; emr-sync users reset enables them again")


@users.command("reset")
def reset(
    context: typer.Context,
    name: Name,
    way: Annotated[Way | None, typer.Option("--with", help="How they sign in from now on. Default: as before.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set a new first password, end all sessions and enable the user again.

    With openid there is no password: the account goes to the next person who signs in at the provider with this name.
    """
    with global_options.opened(context) as runtime:
        user, password = Users(runtime.database).reset(name, runtime.clock(), way=way.value if way else None, by=global_options.who())
    _show(user, password, as_json=as_json)


def _show(user: User, password: str | None, *, as_json: bool) -> None:
    if as_json:
        output.emit(_summary(user) | {"password": password})
    elif password is None and user.way == Way.OPENID:
        output.say(f"{user.name} is enabled and signs in with OpenID Connect")
    elif password is None:
        output.say(f"{user.name} now has these roles: {_roles(user)}. The password is unchanged")
    else:
        output.say(password)
        output.note(f"first password of {user.name} ({_roles(user)}). It is not shown again; they choose a new one when they sign in")


def _roles(user: User) -> str:
    return ", ".join(f"{role} of {enterprise}" for enterprise, role in user.roles.items())


def _summary(user: User) -> dict[str, Any]:
    return {name: getattr(user, name) for name in ("id", "name", "roles", "way", "created", "disabled")}
