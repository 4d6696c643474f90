"""The program: kubectl's own flags in front, then a command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vmclone_kubectl import changing, planning, reaching, reading, supporting
from vmclone_kubectl.arguments import flags_first
from vmclone_kubectl.kubectl import Kubectl
from vmclone_kubectl.session import Session

PROGRAM = "kubectl vmclone"

app = typer.Typer(
    name=PROGRAM,
    help="See, make, change and reach clones of virtual machines.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_MODULES = (reading, planning, changing, reaching, supporting)
for _name, _command in (pair for module in _MODULES for pair in module.COMMANDS.items()):
    app.command(_name)(_command)


@app.callback()
def flags(
    context: typer.Context,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace; kubectl's own when absent.")] = "",
    cluster: Annotated[str, typer.Option("--context", help="Context of the kubeconfig.")] = "",
    kubeconfig: Annotated[str, typer.Option("--kubeconfig", help="Path of the kubeconfig.")] = "",
    as_user: Annotated[str, typer.Option("--as", help="User to act as.")] = "",
) -> None:
    """Take what kubectl takes in front of a command, and pass it on to every call."""
    given = {"namespace": namespace, "context": cluster, "kubeconfig": kubeconfig, "as": as_user}
    context.obj = Session(Kubectl(tuple(f"--{flag}={value}" for flag, value in given.items() if value)))


def main() -> None:
    """Run the program under the name by which kubectl calls it."""
    app(flags_first(sys.argv[1:]), prog_name=PROGRAM)
