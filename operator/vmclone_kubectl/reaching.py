"""Commands that log in to clones: ssh, scp, run. Host keys are pinned from status, never asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vmclone_kubectl import documents, openssh
from vmclone_kubectl.documents import Document
from vmclone_kubectl.kubectl import ForbiddenError, KubectlError, NotFoundError
from vmclone_kubectl.openssh import Target
from vmclone_kubectl.session import Session, session_of, told

_AT_ONCE = 16
User = Annotated[str, typer.Option("--user", "-l", help="Log in as this user; the source's home.user when absent.")]
More = Annotated[list[str] | None, typer.Option("--option", "-o", help="Option of OpenSSH, as Port=2222; repeatable.")]


def ssh(
    context: typer.Context,
    session: Annotated[str, typer.Argument(help="Session of the clone.")],
    command: Annotated[list[str] | None, typer.Argument(help="Command to run there, after --.")] = None,
    user: User = "",
    option: More = None,
) -> None:
    """Log in to a clone, or run one command there."""
    with told():
        ours = session_of(context)
        target = _target(ours, ours.session(session), user, option)
        with _pinned([target]) as file:
            done = subprocess.run(openssh.login(target, file, command or ()), check=False)
    raise typer.Exit(done.returncode)


def scp(
    context: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="FROM... TO", help="Local paths, and SESSION:PATH on the clone.")
    ],
    user: User = "",
    option: More = None,
) -> None:
    """Copy files to or from a clone."""
    with told():
        ours = session_of(context)
        target = _target(ours, ours.session(openssh.session_in(words)), user, option)
        with _pinned([target]) as file:
            done = subprocess.run(openssh.copy(target, file, words), check=False)
    raise typer.Exit(done.returncode)


def run(
    context: typer.Context,
    command: Annotated[
        list[str], typer.Argument(help="The session, unless --all VMCLONE is given; then -- and the command.")
    ],
    everywhere: Annotated[str, typer.Option("--all", help="Run on all clones of this VMClone, side by side.")] = "",
    user: User = "",
    option: More = None,
) -> None:
    """Run a command on one clone or on all of a VMClone; the exit status is the worst of theirs."""
    with told():
        ours = session_of(context)
        if everywhere:
            replicas: list[Document] = [*ours.replicas(ours.vmclone(everywhere))]
        else:
            replicas = [ours.session(command[0])]
            command = command[1:]
        if not command:
            raise KubectlError("name the command to run, after --")
        targets = [_target(ours, replica, user, option) for replica in replicas]
        with _pinned(targets) as file:
            raise typer.Exit(_everywhere(targets, file, command))


def _everywhere(targets: list[Target], known_hosts_file: str, command: list[str]) -> int:
    """Run the command on every clone at the same time; print each result under its session as it comes."""
    worst = 0
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        results = pool.map(lambda target: _one(target, known_hosts_file, command), targets)
        for target, done in zip(targets, results, strict=True):
            typer.echo(f"== {target.session}: exit status {done.returncode}")
            sys.stdout.write(done.stdout)
            sys.stderr.write(done.stderr)
            worst = max(worst, done.returncode)
    return worst


def _one(target: Target, known_hosts_file: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    argv = openssh.login(target, known_hosts_file, command)
    argv[1:1] = ["-o", "BatchMode=yes"]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)


def _target(session: Session, replica: Document, user: str, more: list[str] | None) -> Target:
    return openssh.target(replica, user or _home_user(session, replica), more or ())


def _home_user(session: Session, replica: Document) -> str:
    """Return the user that the source's owner names; who may not read that is asked for --user."""
    owner = next(ref["name"] for ref in replica["metadata"]["ownerReferences"] if ref.get("controller"))
    source = documents.source_name(session.vmclone(owner))
    try:
        home = session.kubectl.get(documents.SOURCES, source)["spec"].get("home") if source else None
    except (ForbiddenError, NotFoundError):
        home = None
    if not home:
        raise KubectlError(
            "the CloneSource, which names the user of its home, cannot be read: name the user with --user"
        )
    return str(home["user"])


@contextmanager
def _pinned(targets: list[Target]) -> Iterator[str]:
    """Give a file with the host keys; it goes with the login."""
    with tempfile.TemporaryDirectory(prefix="kubectl-vmclone-") as folder:
        file = Path(folder) / "known_hosts"
        file.write_text(openssh.known_hosts(targets), encoding="utf-8")
        yield os.fspath(file)


COMMANDS: dict[str, Callable[..., None]] = {"ssh": ssh, "scp": scp, "run": run}
