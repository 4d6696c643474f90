"""Commands that only read: status, why, explain, tree, history, sources."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from vmclone_kubectl import documents, fixes, lines, why
from vmclone_kubectl.documents import Document, Verdict
from vmclone_kubectl.kubectl import ForbiddenError, KubectlError, NotFoundError
from vmclone_kubectl.session import FAILED, TIMED_OUT, Session, session_of, told

Name = Annotated[str, typer.Argument(help="Name of the VMClone.")]
_WORKING = 3
_EXIT = {Verdict.READY: 0, Verdict.FAILED: FAILED, Verdict.WORKING: _WORKING}


def status(
    context: typer.Context,
    name: Name,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show every change until it is ready or failed.")
    ] = False,
    timeout: Annotated[int, typer.Option(help="Seconds to watch at most; 0 watches without end.")] = 0,
) -> None:
    """Show a VMClone and its replicas. Exit status: 0 ready, 1 failed, 3 at work, 124 timed out."""
    with told():
        session = session_of(context)
        if watch:
            raise typer.Exit(follow(session, name, timeout=timeout))
        vmclone = session.vmclone(name)
        for line in _text(session, vmclone):
            typer.echo(line)
        raise typer.Exit(_EXIT[documents.verdict(vmclone)])


def follow(session: Session, name: str, *, timeout: int) -> int:
    """Show a VMClone until it is ready or failed: bars on a terminal, lines elsewhere. Return the exit status."""
    show = _bars if sys.stdout.isatty() else _plain
    return show(session, _states(session, name, timeout=timeout))


def _states(session: Session, name: str, *, timeout: int) -> Iterator[Document]:
    """Give the states until one is final. The API server ends every watch after a while: then another one begins."""
    deadline = time.monotonic() + timeout if timeout else None
    while deadline is None or time.monotonic() < deadline:
        session.vmclone(name)  # says so when there is none: a watch would wait for it
        left = None if deadline is None else deadline - time.monotonic()
        with session.kubectl.watch(documents.VMCLONES, name, seconds=left) as states:
            for state in states:
                yield state
                if documents.verdict(state) is not Verdict.WORKING:
                    return


def _plain(session: Session, states: Iterator[Document]) -> int:
    last = ""
    state: Document | None = None
    for state in states:
        line = lines.headline(state)
        if line != last:
            typer.echo(line)
        last = line
    return _ended(session, state)


def _bars(session: Session, states: Iterator[Document]) -> int:
    state: Document | None = None
    with Live(console=Console(), auto_refresh=False) as live:
        for state in states:
            live.update(_table(session, state), refresh=True)
    return _ended(session, state)


def _ended(session: Session, state: Document | None) -> int:
    if state is None:
        return FAILED
    verdict = documents.verdict(state)
    if verdict is Verdict.FAILED:
        for line in lines.finding_lines(findings(session, state), site()):
            typer.echo(line)
    return TIMED_OUT if verdict is Verdict.WORKING else _EXIT[verdict]


def _table(session: Session, vmclone: Document) -> Table:
    table = Table(title=lines.headline(vmclone), title_justify="left", box=None)
    for head in ("session", "state", "progress", "address", "note"):
        table.add_column(head)
    for line in lines.replica_lines(vmclone, session.replicas(vmclone)):
        bar = ProgressBar(total=100, completed=line.percent, width=20)
        table.add_row(line.session, line.state, bar, line.address, line.note)
    return table


def _text(session: Session, vmclone: Document) -> Iterator[str]:
    yield lines.headline(vmclone)
    yield from lines.table(lines.replica_lines(vmclone, session.replicas(vmclone)))


def why_command(context: typer.Context, name: Name) -> None:
    """Say why a VMClone is not ready: the deepest cause first, and what to do about it."""
    with told():
        session = session_of(context)
        vmclone = session.vmclone(name)
        found = findings(session, vmclone)
        for line in lines.finding_lines(found, site()):
            typer.echo(line)
        if not found:
            typer.echo(f"nothing is wrong: {lines.headline(vmclone)}")


def explain(
    reason: Annotated[str, typer.Argument(help="Reason of a condition or of an Event, as BackendUnreachable.")],
) -> None:
    """Say what a reason means and what to do. It asks no cluster; VMCLONE_DOCS_URL is where your docs are served."""
    with told():
        found = fixes.named(reason)
        if not found:
            meant = ", ".join(fixes.similar(reason)) or "none that is like it"
            raise KubectlError(f"there is no reason {reason}; there are: {meant}")
        for line in lines.reason_lines(found, site()):
            typer.echo(line)


def site() -> str:
    """Return where whoever runs this has the documentation, empty when nobody said so."""
    return os.environ.get("VMCLONE_DOCS_URL", "")


def findings(session: Session, vmclone: Document) -> list[why.Finding]:
    """Return what is wrong with a VMClone and all that it rests on, the cause first."""
    source = _source(session, vmclone)
    return why.findings(vmclone, session.replicas(vmclone), source, _backend(session, vmclone, source))


def _source(session: Session, vmclone: Document) -> why.Looked:
    name = documents.source_name(vmclone)
    if not name:
        return None
    return _look(session, documents.SOURCES, name, "CloneSource", why.Depth.SOURCE)


def _backend(session: Session, vmclone: Document, source: why.Looked) -> why.Looked:
    named = vmclone["spec"].get("backend") or {}
    if not named and isinstance(source, dict):
        named = source["spec"]["backend"]
    if not named:
        return None
    return _look(session, documents.BACKENDS, str(named["name"]), "CloneBackend", why.Depth.BACKEND)


def _look(session: Session, kind: str, name: str, word: str, depth: why.Depth) -> why.Looked:
    where = f"{word} {name}"
    try:
        return session.kubectl.get(kind, name)
    except NotFoundError:
        remedy = "Ask the platform team for the right name, or to make it."
        return why.Unreadable(depth=depth, where=where, problem=f"{where} does not exist.", remedy=remedy)
    except ForbiddenError:
        problem = f"You may not read it: the right `get {kind}` is missing."
        remedy = "Ask the platform team for the ClusterRole vmclone-viewer, or to look for you."
        return why.Unreadable(depth=why.Depth.VMCLONE, where=where, problem=problem, remedy=remedy)


def tree(context: typer.Context, name: Name) -> None:
    """Show what a VMClone consists of: frozen points, replicas, VMs, Jobs."""
    with told():
        session = session_of(context)
        vmclone = session.vmclone(name)
        typer.echo(f"VMClone {name} of {_origin(vmclone)}")
        for point in documents.status(vmclone).get("frozenPoints", ()):
            taken = point.get("frozenTime") or "not taken yet"
            typer.echo(f"├─ frozen point {point['id']} ({taken}, {point.get('consistency', '?')})")
        for replica in session.replicas(vmclone):
            _print_replica(replica)


def _origin(vmclone: Document) -> str:
    source = vmclone["spec"]["source"]
    return f"CloneSource {source['name']}" if "name" in source else f"session {source['session']}"


def _print_replica(replica: dict[str, Any]) -> None:
    status = documents.status(replica)
    typer.echo(f"├─ VMCloneReplica {documents.name(replica)} ({status.get('state') or 'not seen yet'})")
    intent = status.get("intent") or {}
    typer.echo(f"│  ├─ VM {intent.get('vmName') or '-'} {status.get('externalID') or ''}".rstrip())
    for step in status.get("steps", ()):
        if step.get("job"):
            typer.echo(f"│  ├─ Job {step['job']} ({step['state']})")


def history(context: typer.Context, name: Name) -> None:
    """Show what happened to a VMClone and its replicas, in order: steps and Events."""
    with told():
        session = session_of(context)
        vmclone = session.vmclone(name)
        replicas = session.replicas(vmclone)
        moments = [*_events(session, vmclone, replicas), *(m for replica in replicas for m in _steps(replica))]
        for moment, text in sorted(moments):
            typer.echo(f"{moment}  {text}")


def _steps(replica: dict[str, Any]) -> Iterator[tuple[str, str]]:
    session = replica["spec"]["session"]
    for step in documents.status(replica).get("steps", ()):
        if step.get("startTime"):
            yield step["startTime"], f"{session}: {step['name']} begins"
        if step.get("completionTime"):
            yield step["completionTime"], f"{session}: {step['name']} is done"


def _events(session: Session, vmclone: Document, replicas: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    uids = {document["metadata"]["uid"] for document in (vmclone, *replicas)}
    try:
        events = session.kubectl.every("events.events.k8s.io")
    except ForbiddenError:
        typer.echo("(Events are not shown: the right `list events.events.k8s.io` is missing)", err=True)
        return
    for event in events:
        regarding = event.get("regarding") or {}
        if regarding.get("uid") not in uids:
            continue
        moment = event.get("eventTime") or event.get("deprecatedLastTimestamp") or ""
        yield moment[:19] + "Z", f"{regarding.get('name')}: {event.get('reason')}: {event.get('note', '')}"


def sources(context: typer.Context) -> None:
    """Show the sources, in which modes they may be cloned, and how busy they are."""
    with told():
        session = session_of(context)
        rows = [_source_row(document) for document in session.kubectl.every(documents.SOURCES)]
        head = ("SOURCE", "MODES", "POWER", "CLONES", "COPIES", "READY")
        for line in lines.columns(head, rows):
            typer.echo(line)


def _source_row(document: dict[str, Any]) -> tuple[str, ...]:
    status = documents.status(document)
    ready = documents.condition(document, "Ready")
    state = "-" if ready is None else ready.reason
    copies = f"{status.get('activeCopies', 0)}+{status.get('queuedCopies', 0)}"
    modes = ",".join(document["spec"].get("modes", ()))
    return documents.name(document), modes, status.get("power", "-"), str(status.get("clones", 0)), copies, state


COMMANDS: dict[str, Callable[..., None]] = {
    "status": status,
    "why": why_command,
    "explain": explain,
    "tree": tree,
    "history": history,
    "sources": sources,
}
