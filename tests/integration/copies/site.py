"""What the tests of home copies do with their cluster and machines."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.copies.machines import Machine
from tests.support.cluster_cli import kubectl

ROOT = Path(__file__).parents[3]
OPERATOR, SOURCE = "vmclone-copies", "copies"
NAMESPACES = ("copies-a", "copies-b")
_ACCEPTED = re.compile(r"^Accepted publickey for \S+ from (\S+) port (\d+)")
_ENDED = re.compile(r"^(?:Disconnected from|Connection closed by|Connection reset by) (?:user \S+ )?(\S+) port (\d+)")


@dataclass
class Site:
    """One source and the machines of its clones."""

    source: Machine
    clones: list[Machine]
    folder: Path

    def wish(self, name: str, namespace: str, *, replicas: int, **home_copy: object) -> None:
        """Wish for clones with the source's home."""
        spec = {
            "source": {"name": SOURCE},
            "replicas": replicas,
            "homeCopy": home_copy,
            "rollout": {"maxInFlight": 100},
        }
        document = {
            "apiVersion": "vmclone.dev/v1alpha1",
            "kind": "VMClone",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**spec, "retry": {"backoff": "2s"}},
        }
        kubectl("apply", "-f", "-", given=json.dumps(document))

    def replicas(self) -> list[dict[str, Any]]:
        """Return all replicas of all namespaces of ours."""
        found: list[dict[str, Any]] = json.loads(kubectl("get", "vmclonereplicas", "-A", "-o", "json"))["items"]
        return [document for document in found if document["metadata"]["namespace"] in NAMESPACES]

    def jobs(self) -> dict[str, str]:
        """Return when each Job of a copy was made, by incarnation."""
        found = json.loads(kubectl("get", "jobs", "-n", OPERATOR, "-o", "json"))["items"]
        return {
            job["metadata"]["labels"]["vmclone.dev/incarnation"]: job["metadata"]["creationTimestamp"] for job in found
        }

    def machine_of(self, replica: dict[str, Any]) -> Machine:
        """Return the machine that a replica's clone is."""
        address = replica["status"]["guest"]["addresses"][0] if replica["status"]["guest"].get("addresses") else ""
        taken = [json.loads(line) for line in (self.folder / "hosts.log").read_text().splitlines() if line[:1] == "{"]
        by_uid = {entry["incarnation"]: entry["address"] for entry in taken if "incarnation" in entry}
        wanted = address or by_uid[replica["metadata"]["uid"]]
        return next(machine for machine in self.clones if machine.address == wanted)

    def most_at_once(self) -> int:
        """Return the highest number of sessions that the source's sshd saw at a time, by its own log."""
        now: set[tuple[str, str]] = set()
        most = 0
        for line in (self.source.folder / "log").read_text().splitlines():
            if accepted := _ACCEPTED.match(line):
                now.add((accepted[1], accepted[2]))
            elif ended := _ENDED.match(line):
                now.discard((ended[1], ended[2]))
            most = max(most, len(now))
        return most

    def remove_wishes(self) -> None:
        """Delete all wishes and wait until they are gone."""
        for namespace in NAMESPACES:
            kubectl("delete", "vmclones", "--all", "-n", namespace, "--timeout=90s")


def all_ready(replicas: list[dict[str, Any]], count: int) -> bool:
    """Return whether so many replicas are there, all of them ready."""
    states = [
        any(c["type"] == "Ready" and c["status"] == "True" for c in document.get("status", {}).get("conditions", []))
        for document in replicas
    ]
    return len(states) == count and all(states)
