"""The command plan: what is about to be done for a VMClone, or what a file would do if it were applied."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from vmclone_kubectl import documents, lines, trial
from vmclone_kubectl.documents import Document
from vmclone_kubectl.kubectl import KubectlError, NotFoundError
from vmclone_kubectl.reading import findings, site
from vmclone_kubectl.session import FAILED, TIMED_OUT, Session, session_of, told
from vmclone_kubectl.signals import held, orderly

_REMOVAL = "30s"
"""How long the API server may take for it: the signals that would end the program wait meanwhile."""
_APPLY = ("apply", "--dry-run=server", "--filename=-", "--output=json")


def plan(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the VMClone; none with --filename.")] = "",
    file: Annotated[
        str, typer.Option("--filename", "-f", help="Manifest to try without applying it; - reads it.")
    ] = "",
    timeout: Annotated[int, typer.Option(min=1, help="Seconds to wait for the operator to plan a manifest.")] = 60,
) -> None:
    """Show what is about to be done for a VMClone, or what a manifest would do: what it costs, what speaks against it.

    With --filename the API server judges the manifest first. A VMClone that does not exist yet is planned by the
    operator as one of mode DryRun, which is removed again. Exit status: 0 nothing is in the way, 1 something is, 124
    no answer.
    """
    with told():
        session = session_of(context)
        if bool(name) == bool(file):
            raise KubectlError("say what to plan: the name of a VMClone or --filename FILE, one of them")
        if file:
            raise typer.Exit(_try(session, file, timeout))
        for line in lines.plan_lines(session.vmclone(name)):
            typer.echo(line)


def _try(session: Session, file: str, timeout: int) -> int:
    found = session.kubectl.documents("create", "--dry-run=client", "--output=json", f"--filename={file}")
    wish = trial.only_wish(found, file)
    name = documents.name(wish)
    if namespace := wish["metadata"].get("namespace"):
        session = session.within(namespace)
    # As `kubectl apply` would store it: what the API server refuses ends here, in its own words.
    then = json.loads(session.kubectl.call(*_APPLY, stdin=json.dumps(wish)))
    typer.echo(f"{name}: the API server accepts it")
    try:
        now = session.vmclone(name)
    except NotFoundError:
        return _new(session, wish, timeout)
    return _changed(session, now, then)


def _changed(session: Session, now: Document, then: Document) -> int:
    """Tell what becomes of a VMClone that exists; its plan is made when the change is there."""
    differs = list(trial.changes(now, then))
    for line in (*differs, *trial.what_comes_of_it(now, then)):
        typer.echo(line)
    if not differs:
        typer.echo("nothing changes")
    else:
        typer.echo("To read the plan before it happens, apply it with spec.plan.mode: Manual.")
    found = findings(session, now)
    for line in lines.finding_lines(found, site()):
        typer.echo(line)
    return FAILED if found else 0


def _new(session: Session, wish: Document, timeout: int) -> int:
    name = documents.name(wish)
    with _trial(session, wish) as made:
        state = _answer(session, made, timeout)
        if state is None:
            typer.echo(
                f"error: no operator planned it within {timeout} s; `kubectl vmclone doctor` looks why", err=True
            )
            return TIMED_OUT
        state = trial.named(state, name)
        for line in lines.plan_lines(state, approvable=False):
            typer.echo(line)
        in_the_way = trial.stands_in_the_way(state)
        if in_the_way:
            for line in lines.finding_lines(findings(session, state), site()):
                typer.echo(line)
        return FAILED if in_the_way else 0


@contextmanager
def _trial(session: Session, wish: Document) -> Iterator[str]:
    """Make the VMClone that is only planned, and remove it whatever happens: nothing was made for it.

    Raises KubectlError, before anything is made, for a person who may not remove it.
    """
    kubectl, made = session.kubectl, ""
    if not kubectl.allows("delete", documents.VMCLONES):
        raise KubectlError(
            f"you may not delete {documents.VMCLONES} here, so a trial could not be removed again and none was made:"
            " ask for that right, or plan where you have it"
        )
    with orderly():
        try:
            with held():
                document = json.dumps(trial.trial_of(wish))
                answer = kubectl.call("create", "--filename=-", "--output=name", stdin=document, apart=True)
                made = answer.strip().rpartition("/")[2]
            yield made
        finally:
            if made:
                with held():
                    _remove(session, made)


def _remove(session: Session, made: str) -> None:
    words = ("delete", documents.VMCLONES, made, "--wait=false", "--ignore-not-found", f"--request-timeout={_REMOVAL}")
    try:
        session.kubectl.call(*words, apart=True)
    except KubectlError as error:
        raise KubectlError(
            f"{error}\nthe trial {made} is left; nothing is ever made from it, and `kubectl delete vmclones {made}`"
            " removes it"
        ) from error


def _answer(session: Session, made: str, timeout: int) -> Document | None:
    with session.kubectl.watch(documents.VMCLONES, made, seconds=timeout) as states:
        return next((state for state in states if trial.answered(state)), None)


COMMANDS: dict[str, Callable[..., None]] = {"plan": plan}
