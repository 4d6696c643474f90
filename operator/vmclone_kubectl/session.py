"""What every command needs: the cluster that the flags mean, and one way to end with a sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import typer

from vmclone_kubectl import documents
from vmclone_kubectl.documents import Document
from vmclone_kubectl.kubectl import ForbiddenError, Kubectl, KubectlError, NotFoundError

FAILED = 1
TIMED_OUT = 124
"""As `timeout` of coreutils ends, so that scripts can tell."""


@dataclass(frozen=True)
class Session:
    """The cluster, and the objects of one VMClone there."""

    kubectl: Kubectl

    def within(self, namespace: str) -> Session:
        """Return the same cluster with another namespace, as a manifest names it."""
        return Session(replace(self.kubectl, flags=(*self.kubectl.flags, f"--namespace={namespace}")))

    def vmclone(self, name: str) -> Document:
        """Return the VMClone."""
        return self.kubectl.get(documents.VMCLONES, name)

    def replicas(self, vmclone: Document) -> list[dict[str, Any]]:
        """Return its replicas, none when this person may not list them: the VMClone has a row for each."""
        try:
            return documents.replicas_of(vmclone, self.kubectl.every(documents.REPLICAS))
        except ForbiddenError:
            return []

    def session(self, name: str) -> Document:
        """Return the replica that bears a session. Raises NotFoundError with the sessions there are."""
        replicas = self.kubectl.every(documents.REPLICAS)
        for replica in replicas:
            if replica["spec"]["session"] == name:
                return replica
        there = ", ".join(sorted(replica["spec"]["session"] for replica in replicas)) or "none"
        raise NotFoundError(f"no clone of this namespace has the session {name}; there are: {there}")


@contextmanager
def told() -> Iterator[None]:
    """End with the sentence of an error instead of a traceback."""
    try:
        yield
    except KubectlError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command's message
        raise typer.Exit(FAILED) from error


def session_of(context: typer.Context) -> Session:
    """Return what the top-level flags mean."""
    found = context.obj
    if not isinstance(found, Session):
        raise TypeError("the command was called without its application")
    return found
