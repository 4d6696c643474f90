"""Operator processes side by side on the lab's real API server, and what they leave behind in its audit log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cluster_cli import kubectl, wait_until

ROOT = Path(__file__).parents[3]
STOP_SECONDS = 40
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
REFUSED = 400


def seconds_until(what: str, condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition; return how long it took, fail after so many seconds."""
    began = time.monotonic()
    wait_until(what, condition, seconds, pause=0.1)
    return time.monotonic() - began


@dataclass(frozen=True)
class Place:
    """Where a test's operators and their objects are."""

    namespace: str
    users: str
    folder: Path
    audit_log: Path

    @property
    def world(self) -> dict[str, Any]:
        """Return what is at the fake hypervisor."""
        path = self.folder / "world.json"
        found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return found

    def leader(self) -> str:
        """Return who holds the Lease."""
        path = "jsonpath={.spec.holderIdentity}"
        return kubectl("get", "lease", "vmclone-operator", "-n", self.namespace, "-o", path, check=False)

    def apply(self, name: str, *, replicas: int = 1, **spec: Any) -> None:
        """Wish for clones."""
        wish = {
            "apiVersion": "vmclone.dev/v1alpha1",
            "kind": "VMClone",
            "metadata": {"name": name, "namespace": self.users},
            "spec": {"source": {"name": self.namespace}, "replicas": replicas, **spec},
        }
        kubectl("apply", "-f", "-", given=json.dumps(wish))

    def is_ready(self, name: str, replicas: int = 1) -> bool:
        """Return whether so many clones are ready."""
        path = "jsonpath={.status.conditions[?(@.type=='Ready')].status} {.status.readyReplicas}"
        return kubectl("get", "vmclone", name, "-n", self.users, "-o", path, check=False) == f"True {replicas}"

    def exists(self, name: str) -> bool:
        """Return whether a wish is there."""
        return bool(kubectl("get", "vmclone", name, "-n", self.users, "--ignore-not-found", "-o", "name"))

    def users_are_gone(self) -> bool:
        """Return whether the users' namespace is removed, with everything in it."""
        return not kubectl("get", "namespace", self.users, "--ignore-not-found", "-o", "name")

    def what_is_left(self) -> str:
        """Return the users' namespace and their objects as they are, for a failure's message."""
        what = "namespace/" + self.users, "vmclones,vmclonereplicas"
        return "\n".join(kubectl("get", kind, "-n", self.users, "-o", "yaml", check=False) for kind in what)

    def writes_of(self, identity: str, since: int) -> list[str]:
        """Return what an operator wrote after a place in the audit log; writes of the Lease do not count.

        A request that was refused wrote nothing: one may be under way when its sender is put to sleep. Namespaces of
        other tests do not count either: an operator of all namespaces serves what those left behind.
        """
        with self.audit_log.open("rb") as file:
            file.seek(since)
            lines = file.read().split(b"\n")[:-1]
        entries = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [
            f"{entry['requestReceivedTimestamp']} {entry['verb']} {entry['requestURI']}"
            for entry in entries
            if entry["verb"] in WRITES
            and str(entry.get("userAgent", "")) == f"vmclone-operator/{identity}"
            and entry["objectRef"].get("resource") != "leases"
            and self._is_here(entry["objectRef"].get("namespace", ""))
            and entry.get("responseStatus", {}).get("code", 0) < REFUSED
        ]

    def _is_here(self, namespace: str) -> bool:
        """Return whether a namespace is of this test, or the one where cluster-scoped objects' Events go, or none."""
        return namespace in {"", "default"} or namespace.startswith(self.namespace)


class Operator:
    """One operator process."""

    def __init__(
        self,
        place: Place,
        identity: str,
        *more: str,
        ahead_seconds: int = 0,
        refused: int = 0,
        checkout: Path = ROOT,
    ) -> None:
        """Start it, on a node whose clock may be ahead; of another checkout, to see what an upgrade does.

        The first so many clones are refused by its hypervisor.
        """
        self._log = place.folder / f"{identity}.log"
        arguments = ["--namespace", place.namespace, "--identity", identity, "--allow-fake"]
        arguments += ["--resync-seconds", "10", "--relist-seconds", "10", *more]
        module = "tests.integration.leaders.operator_with_world"
        wrong = {"TEST_AHEAD_SECONDS": str(ahead_seconds), "TEST_REFUSED": str(refused)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(place.folder / "world.json"), *arguments],
                cwd=checkout,
                env={**os.environ, "PYTHONPATH": f"{checkout}:{checkout}/operator", **wrong},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def said(self, words: str) -> bool:
        """Return whether it logged these words."""
        return words in self._log.read_text(errors="replace")

    def last_words(self) -> str:
        """Return the end of its log, and its exit status if it ended."""
        return f"{self._log.read_text(errors='replace')[-4000:]}\nexit status {self._process.poll()}"

    def wait_for(self, words: str, seconds: float = 60) -> float:
        """Wait until it logged these words."""

        def said() -> bool:
            assert not self.ended(), self.last_words()
            return self.said(words)

        return seconds_until(f"{self._log.name} says {words}", said, seconds)

    def send(self, which: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(which)

    def ended(self) -> bool:
        """Return whether the process is gone."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Take it away, whatever state it is in."""
        self._process.kill()
        self._process.wait(timeout=STOP_SECONDS)
