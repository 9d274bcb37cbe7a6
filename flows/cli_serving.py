"""`salience keys`: who may call the services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from serving.keys import KeyFile

app = typer.Typer(help="API keys of applications and people that call the services.", no_args_is_help=True)


@app.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Whose key; it is written to logs and to the record of decisions.")],
    role: Annotated[str, typer.Option(help="rep, manager, application, operator or admin.")],
    territory: Annotated[list[str] | None, typer.Option(help="Territory a rep or manager sees; repeat it.")] = None,
    rep: Annotated[list[str] | None, typer.Option(help="Rep whose leads and deals are seen; repeat it.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days until the key ends.")] = 90,
) -> None:
    """Make a key and show it, for the only time."""
    from typing import cast

    from serving.access import Role

    key = _file().add(name, role=cast("Role", role), territories=territory or (), reps=rep or (), days=days)
    typer.echo(key)
    typer.echo("It is shown once, and kept as a hash. Send it as X-API-Key, or as Authorization: Bearer …", err=True)


@app.command("list")
def list_keys() -> None:
    """List keys: their ids, whose they are, roles, what they see and how long they hold; never the keys themselves."""
    for key in _file().all().values():
        state = f"revoked {key.revoked_at}" if key.revoked_at else f"until {key.expires_at}"
        sees = ", ".join([*key.territories, *key.reps]) or "-"
        typer.echo(f"{key.id}  {key.role:<12} {state[:25]:<26} {sees:<20} {key.name}")


@app.command("revoke")
def revoke_key(identifier: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, see `list`.")]) -> None:
    """Take a key back; running services refuse it at once."""
    _file().revoke(identifier)
    typer.echo(f"Key {identifier} is revoked.")


def _file() -> KeyFile:
    from common.settings import Settings
    from serving.guard import keys_file
    from serving.keys import KeyFile

    settings = Settings()
    return KeyFile(settings.access.keys_file or keys_file(settings.home))
