"""Commands that change a VMClone. Each is a call that a person could make with kubectl; the operator does the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from vmclone_kubectl import documents
from vmclone_kubectl.kubectl import KubectlError
from vmclone_kubectl.reading import Name, follow
from vmclone_kubectl.session import Session, session_of, told

Replicas = Annotated[int, typer.Option("--replicas", "-r", min=0, max=100, help="How many clones there should be.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show progress until it is ready or failed.")]
Timeout = Annotated[int, typer.Option(help="Seconds to wait at most; 0 waits without end.")]


def create(
    context: typer.Context,
    name: Name,
    source: Annotated[str, typer.Option(help="CloneSource to clone.")] = "",
    session: Annotated[str, typer.Option(help="Session of a clone in this namespace to clone instead.")] = "",
    replicas: Replicas = 1,
    mode: Annotated[str, typer.Option(help="Disk or Clean; the source's first mode when absent.")] = "",
    backend: Annotated[str, typer.Option(help="CloneBackend; the source's own when absent.")] = "",
    session_prefix: Annotated[str, typer.Option(help="Prefix of the sessions; the name when absent.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifest for Git; make nothing.")] = False,
    wait: Wait = False,
    timeout: Timeout = 0,
) -> None:
    """Make a VMClone. With --dry-run it prints the manifest."""
    with told():
        if bool(source) == bool(session):
            raise KubectlError("name what to clone: --source NAME or --session NAME, one of them")
        spec: dict[str, Any] = {
            "source": {"name": source} if source else {"session": session},
            "replicas": replicas,
            "mode": mode,
            "backend": {"name": backend} if backend else {},
            "sessionPrefix": session_prefix,
        }
        manifest = {
            "apiVersion": f"{documents.GROUP}/v1alpha1",
            "kind": "VMClone",
            "metadata": {"name": name},
            "spec": {field: value for field, value in spec.items() if value not in ("", {})},
        }
        ours = session_of(context)
        words = ["create", "--filename=-", *(["--dry-run=client", "--output=yaml"] if dry_run else [])]
        typer.echo(ours.kubectl.call(*words, stdin=json.dumps(manifest)).rstrip())
        if wait and not dry_run:
            raise typer.Exit(follow(ours, name, timeout=timeout))


def scale(context: typer.Context, name: Name, replicas: Replicas, wait: Wait = False, timeout: Timeout = 0) -> None:
    """Set how many clones there are; the highest numbers go first."""
    with told():
        session = session_of(context)
        _patch_spec(session, name, {"replicas": replicas})
        typer.echo(f"{name}: {replicas} wanted")
        if wait:
            raise typer.Exit(follow(session, name, timeout=timeout))


def delete(
    context: typer.Context,
    name: Name,
    orphan: Annotated[bool, typer.Option("--orphan", help="Keep the VMs; only our claim on them goes.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when everything is gone.")] = False,
) -> None:
    """Remove a VMClone with its VMs, or without them."""
    with told():
        session = session_of(context)
        if orphan:
            _patch_spec(session, name, {"deletion": {"onDelete": "Orphan"}})
        words = ["delete", documents.VMCLONES, name, f"--wait={'true' if wait else 'false'}"]
        typer.echo(session.kubectl.call(*words).rstrip())


def approve(context: typer.Context, name: Name) -> None:
    """Approve the plan of a VMClone as it is now; another plan needs another approval."""
    with told():
        session = session_of(context)
        plan = documents.status(session.vmclone(name)).get("plan") or {}
        if not plan.get("hash"):
            raise KubectlError(f"{name} has no plan to approve")
        _annotate(session, name, documents.APPROVED_PLAN, str(plan["hash"]))
        typer.echo(f"{name}: plan {plan['hash']} is approved")


def pause(context: typer.Context, name: Name) -> None:
    """Stop making, changing and copying; deletion goes on."""
    with told():
        _patch_spec(session_of(context), name, {"paused": True})
        typer.echo(f"{name}: paused")


def resume(context: typer.Context, name: Name) -> None:
    """Go on after a pause."""
    with told():
        _patch_spec(session_of(context), name, {"paused": False})
        typer.echo(f"{name}: resumed")


def retry(context: typer.Context, name: Name) -> None:
    """Try again now what failed, for the VMClone and all its replicas."""
    with told():
        session = session_of(context)
        _annotate(session, name, documents.RETRY_AT, _now())
        typer.echo(f"{name}: tried again")


def sync_home(context: typer.Context, name: Name) -> None:
    """Copy the source's home to the clones once more; needs spec.homeCopy.refresh: OnRequest."""
    with told():
        session = session_of(context)
        home = session.vmclone(name)["spec"].get("homeCopy") or {}
        if home.get("refresh") != "OnRequest":
            raise KubectlError(f"{name} does not allow it: set spec.homeCopy.refresh to OnRequest first")
        _annotate(session, name, documents.SYNC_REQUESTED_AT, _now())
        typer.echo(f"{name}: a new copy of the home is requested")


def _annotate(session: Session, name: str, annotation: str, value: str) -> None:
    session.kubectl.patch(documents.VMCLONES, name, {"metadata": {"annotations": {annotation: value}}})


def _patch_spec(session: Session, name: str, change: Mapping[str, Any]) -> None:
    session.kubectl.patch(documents.VMCLONES, name, {"spec": change})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


COMMANDS: dict[str, Callable[..., None]] = {
    "create": create,
    "scale": scale,
    "delete": delete,
    "approve": approve,
    "pause": pause,
    "resume": resume,
    "retry": retry,
    "sync-home": sync_home,
}
