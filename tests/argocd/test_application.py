"""A real Argo CD, a real operator on the fake backend, and an Application of VMClones in a Git repository."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.argocd.running import GROUP, NAMESPACE, ArgoCD, running
from tests.integration.leaders.conftest import Start, audit_log, place, start
from tests.integration.leaders.operators import Place
from tests.support.cluster_cli import kubectl, wait_until

__all__ = ["audit_log", "place", "start"]
NAME = "clones"
SECONDS = 120
REFUSED = 400
RECONCILES = 3
SYNCED = ("Synced", "Healthy")
COMPARE = "argocd.argoproj.io/compare-options"
REFRESH = "argocd.argoproj.io/refresh=normal"
APPROVED = "argocd.argoproj.io/deletion-approved"
CONFIRM = "Prune=confirm,Delete=confirm"
RETRY_AT = "vmclone.dev/retry-at"
# How Argo CD compares -> annotations and sync options of the Application.
MODES: dict[str, tuple[dict[str, str], list[str]]] = {
    "three-way": ({COMPARE: ""}, []),
    "server-side": ({COMPARE: "ServerSideDiff=true"}, []),
    "structured merge": ({COMPARE: ""}, ["ServerSideApply=true"]),
}


@dataclass(frozen=True, slots=True)
class Team:
    """The VMClones of a team: wished for in Git, brought to the cluster by an Application."""

    argo: ArgoCD
    place: Place
    folder: Path

    def git(self, *words: str) -> None:
        """Run git there."""
        who = ["-c", "user.name=team", "-c", "user.email=team@example.com"]
        subprocess.run(["git", "-C", str(self.folder), *who, *words], check=True, capture_output=True)

    def wish(self, name: str, *, options: str = "", **spec: Any) -> None:
        """Write a VMClone, with sync options of its own."""
        annotations = {"argocd.argoproj.io/sync-options": options} if options else {}
        spec = {"source": {"name": self.place.namespace}, **spec}
        meta = {"name": name, "annotations": annotations}
        document = {"apiVersion": "vmclone.dev/v1alpha1", "kind": "VMClone", "metadata": meta, "spec": spec}
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(document))

    def forget(self, name: str) -> None:
        """Take a VMClone out of Git, and have Argo CD look."""
        (self.folder / f"{name}.yaml").unlink()
        self.commit()
        # As a webhook of the Git server would: what a branch points to is remembered for three minutes otherwise.
        kubectl("annotate", "--overwrite", "application", NAME, "-n", NAMESPACE, REFRESH)

    def commit(self) -> None:
        """Commit everything as it is."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=change")

    def deploy(self, mode: str = "three-way") -> None:
        """Apply the Application."""
        annotations, options = MODES[mode]
        finalizers = ["resources-finalizer.argocd.argoproj.io"]
        meta = {"name": NAME, "namespace": NAMESPACE, "annotations": annotations, "finalizers": finalizers}
        spec = {
            "project": "default",
            "source": {"repoURL": f"file://{self.folder}", "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": self.place.users},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}, "syncOptions": options},
        }
        given = {"apiVersion": GROUP, "kind": "Application", "metadata": meta, "spec": spec}
        kubectl("apply", "-f", "-", given=json.dumps(given))

    def wait(self, verdict: tuple[str, str]) -> None:
        """Wait until Argo CD says so of the Application."""
        wait_until(f"the Application is {verdict}", lambda: told() == verdict, SECONDS, explain=lambda: str(status()))

    def compared(self, holds: Callable[[], bool], times: int = RECONCILES) -> None:
        """Ask of every moment until Argo CD has compared a few times more."""
        seen: set[str] = set()

        def again() -> bool:
            assert holds(), status()
            seen.add(status()["reconciledAt"])
            return len(seen) > times

        wait_until("Argo CD compares again", again, SECONDS)

    def get(self, name: str, kind: str = "vmclone") -> dict[str, Any]:
        """Return an object of the team."""
        found: dict[str, Any] = json.loads(kubectl("get", kind, name, "-n", self.place.users, "-o", "json"))
        return found

    def run(self, action: str, name: str) -> subprocess.CompletedProcess[str]:
        """Run an action of a VMClone with Argo CD's command line."""
        return self.argo.ask("app", "actions", "run", NAME, action, "--kind", "VMClone", "--resource-name", name)

    def replica(self, vmclone: str) -> str:
        """Return the name of a VMClone's first replica."""
        label = f"vmclone.dev/vmclone-uid={self.get(vmclone)['metadata']['uid']}"
        place = ["-n", self.place.users, "-l", label, "-o", "jsonpath={.items[0].metadata.name}"]
        return kubectl("get", "vmclonereplicas", *place, check=False)

    def delete(self) -> None:
        """Delete the Application and wait for the end of everything of it."""
        kubectl("delete", "application", NAME, "-n", NAMESPACE, f"--timeout={SECONDS - 10}s")
        left = kubectl("get", "vmclones,vmclonereplicas", "-n", self.place.users, "-o", "name")
        assert not left, "the cascade ends with the last clone"


def status() -> dict[str, Any]:
    """Return what Argo CD says of the Application."""
    text = kubectl("get", "application", NAME, "-n", NAMESPACE, "-o", "json")
    found: dict[str, Any] = json.loads(text).get("status", {})
    return found


def told() -> tuple[str, str]:
    """Return the two words that people see."""
    now = status()
    return now.get("sync", {}).get("status", ""), now.get("health", {}).get("status", "")


@pytest.fixture(scope="module")
def argo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCD]:
    with running(tmp_path_factory.mktemp("argo-cd")) as started:
        yield started


@pytest.fixture
def team(argo: ArgoCD, place: Place, tmp_path: Path) -> Iterator[Team]:
    made = Team(argo, place, tmp_path)
    made.git("init", "--quiet", "--initial-branch=main")
    yield made
    there = ["application", NAME, "-n", NAMESPACE]
    kubectl("patch", *there, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)
    kubectl("delete", *there, "--ignore-not-found")


def test_an_application_of_vmclones_lives_without_a_diff(team: Team, start: Start) -> None:
    start("operator")
    team.wish("one", replicas=1)
    team.wish("silent")
    team.wish("two", replicas=2)
    team.commit()
    for mode in MODES:
        team.deploy(mode)
        team.wait(SYNCED)
        team.compared(lambda: told() == SYNCED)
    assert team.place.is_ready("one")
    assert team.place.is_ready("silent")
    assert team.place.is_ready("two", 2)

    team.forget("silent")
    wait_until("what left Git is pruned", lambda: not team.place.exists("silent"), SECONDS)
    team.wait(SYNCED)
    team.delete()
    assert not [one for one in team.place.world["machines"].values() if one["stamp"]], "their VMs went with them"


def test_people_run_the_actions_that_are_offered(team: Team, start: Start) -> None:
    start("operator")
    team.wish("one", replicas=1)
    team.wish("planned", replicas=1, plan={"mode": "Manual"}, homeCopy={"refresh": "OnRequest"})
    team.commit()
    team.deploy()
    team.wait(("Synced", "Progressing"))
    wait_until("one is ready", lambda: team.place.is_ready("one"), SECONDS)
    for action, paused in (("pause", True), ("resume", False)):
        assert team.run(action, "one").returncode == 0
        assert team.get("one")["spec"]["paused"] is paused
    assert team.run("retry", "one").returncode == 0
    assert RETRY_AT in team.get("one")["metadata"]["annotations"]
    for action in ("sync-home", "approve"):
        assert team.run(action, "one").returncode != 0, "it is not offered there"

    assert team.run("sync-home", "planned").returncode == 0
    assert "vmclone.dev/sync-requested-at" in team.get("planned")["metadata"]["annotations"]
    wait_until("it is planned", lambda: team.get("planned").get("status", {}).get("plan", {}).get("hash"), SECONDS)
    assert not team.replica("planned")
    assert team.run("approve", "planned").returncode == 0
    wait_until("what is approved is made", lambda: team.replica("planned"), SECONDS)
    team.compared(lambda: told()[0] == "Synced", 1)


def test_a_retry_of_one_clone_is_offered_once_it_failed_and_has_it_made(team: Team, start: Start) -> None:
    start("operator", refused=1)
    team.wish("failing", replicas=1, retry={"maxAttempts": 1})
    team.commit()
    team.deploy()
    team.wait(("Synced", "Degraded"))
    replica = {"namespace": team.place.users, "kind": "VMCloneReplica", "resourceName": team.replica("failing")}

    assert team.argo.offered(NAME, replica) == {"retry"}
    assert team.argo.act(NAME, replica, "retry") == (200, "")
    assert RETRY_AT in team.get(replica["resourceName"], "vmclonereplica")["metadata"]["annotations"]
    team.wait(SYNCED)
    assert team.argo.offered(NAME, replica) == set()
    number, message = team.argo.act(NAME, replica, "retry")
    assert number >= REFUSED
    assert "there is nothing to try again" in message


def test_a_source_that_is_not_there_makes_the_application_degraded_with_the_reason(team: Team, start: Start) -> None:
    start("operator")
    team.wish("one", replicas=1)
    team.wish("lost", source={"name": "nowhere"})
    team.commit()
    team.deploy()
    team.wait(("Synced", "Degraded"))
    wait_until("one is ready", lambda: team.place.is_ready("one"), SECONDS)
    team.compared(lambda: told() == ("Synced", "Degraded"))
    health = team.argo.health(NAME)
    assert health["one"]["status"] == "Healthy"
    assert health["lost"]["status"] == "Degraded"
    assert health["lost"]["message"].startswith("SourceNotFound: ")

    team.forget("lost")
    team.wait(SYNCED)
    team.delete()


def test_what_asks_to_be_confirmed_is_pruned_and_deleted_only_then(team: Team, start: Start) -> None:
    start("operator")
    team.wish("dear", options=CONFIRM, replicas=1)
    team.wish("kept", options=CONFIRM, replicas=1)
    team.commit()
    team.deploy()
    team.wait(SYNCED)

    team.forget("dear")
    wait_until("Argo CD asks", lambda: "confirmation" in status()["operationState"]["message"], SECONDS)
    team.compared(lambda: team.place.exists("dear"))
    assert team.argo.ask("app", "confirm-deletion", NAME).returncode == 0
    wait_until("it is pruned", lambda: not team.place.exists("dear"), SECONDS)
    team.wait(SYNCED)

    # A confirmation is a time in whole seconds: that of the pruning may count for a deletion right after it.
    kubectl("annotate", "application", NAME, "-n", NAMESPACE, f"{APPROVED}-")
    kubectl("delete", "application", NAME, "-n", NAMESPACE, "--wait=false")
    with pytest.raises(AssertionError, match="not within"):
        wait_until("the VMClone goes unasked", lambda: not team.place.exists("kept"), 15)
    assert team.argo.ask("app", "confirm-deletion", NAME).returncode == 0
    team.delete()
