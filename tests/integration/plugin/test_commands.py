"""Every command of `kubectl vmclone` against the real API server."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.api.server import Server
from tests.integration.plugin.conftest import Plugin

from vmclone_operator.api import API_VERSION

pytestmark = pytest.mark.apiserver
NOW = "2026-01-01T00:00:00Z"
WriteStatus = Callable[[Mapping[str, Any]], None]


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    found = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": NOW}
    return {**found, "observedGeneration": 1}


READY = {
    "summary": "2/2 ready",
    "progress": {"percent": 100},
    "conditions": [condition("Ready", "True", "AllReady", "2 of 2 replicas are ready")],
    "replicaStatuses": [{"ordinal": 1, "name": "dev-1-aa", "session": "dev-1", "state": "Ready", "percent": 100}],
}
STALLED = {
    "summary": "0/2 ready",
    "conditions": [
        condition("Ready", "False", "SourceNotFound", "CloneSource golden is not there"),
        condition("Stalled", "True", "SourceNotFound", "CloneSource golden is not there"),
    ],
}
PLANNED = {"plan": {"hash": "ab12cd", "actions": [{"op": "Create", "replica": "dev-1", "why": "ScaleUp"}]}}


@pytest.fixture
def replica(server: Server, vmclone: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make the VMCloneReplica of ordinal 1 with a step and a guest."""
    owner = server.get(vmclone)["metadata"]
    reference = {"apiVersion": API_VERSION, "kind": "VMClone", "name": owner["name"], "uid": owner["uid"]}
    meta = {
        "name": f"{owner['name']}-1",
        "namespace": owner["namespace"],
        "ownerReferences": [{**reference, "controller": True}],
    }
    spec = {"ordinal": 1, "session": "dev-1", "vmCloneUID": owner["uid"], "backend": "lab"}
    manifest = {"apiVersion": API_VERSION, "kind": "VMCloneReplica", "metadata": meta, "spec": spec}
    assert server.create(manifest).status == 201
    steps = [{"name": "Clone", "state": "Done", "startTime": NOW, "completionTime": NOW}]
    status = {"steps": steps, "intent": {"vmName": "dev-1-aabbcc"}, "externalID": "uuid-1", "observedGeneration": 1}
    assert server.merge(manifest, {"status": status}, part="status").status == 200
    yield manifest
    server.delete(manifest)


def name_of(manifest: dict[str, Any]) -> str:
    return str(manifest["metadata"]["name"])


STATES: dict[str, tuple[dict[str, Any], int, str]] = {
    "ready ends with 0": (READY, 0, "2/2 ready (100 %)"),
    "what needs a person ends with 1": (STALLED, 1, "SourceNotFound"),
    "work ends with 3": ({"summary": "0/2 ready"}, 3, "0/2 ready"),
}


@pytest.mark.parametrize("row", STATES)
def test_status_tells_by_its_exit_status(
    plugin: Plugin, vmclone: dict[str, Any], write_status: WriteStatus, row: str
) -> None:
    status, code, words = STATES[row]
    write_status(status)
    done = plugin("status", name_of(vmclone))
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout + done.stderr


def test_a_watch_ends_when_it_is_ready(plugin: Plugin, vmclone: dict[str, Any], write_status: WriteStatus) -> None:
    write_status(READY)
    done = plugin("status", name_of(vmclone), "--watch", "--timeout", "20")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2/2 ready") == 1


def test_a_watch_that_failed_says_why(plugin: Plugin, vmclone: dict[str, Any], write_status: WriteStatus) -> None:
    write_status(STALLED)
    done = plugin("status", name_of(vmclone), "--watch", "--timeout", "20")
    assert done.returncode == 1
    assert "What to do: " in done.stdout


def test_a_watch_without_an_end_times_out(plugin: Plugin, vmclone: dict[str, Any]) -> None:
    assert plugin("status", name_of(vmclone), "--watch", "--timeout", "2").returncode == 124


def test_an_unknown_vmclone_is_a_sentence(plugin: Plugin) -> None:
    for command in ("status", "why", "plan", "tree", "history", "approve"):
        done = plugin(command, "nothing")
        assert (done.returncode, "not found" in done.stderr) == (1, True), done.stderr
        assert "Traceback" not in done.stderr


def test_why_names_the_missing_source_as_the_cause(
    plugin: Plugin, vmclone: dict[str, Any], write_status: WriteStatus
) -> None:
    write_status(STALLED)
    done = plugin("why", name_of(vmclone))
    assert done.stdout.startswith("cause  CloneSource golden:"), done.stdout + done.stderr
    assert "then   VMClone" in done.stdout
    assert "More: docs/reference/conditions.md#sourcenotfound" in done.stdout


def test_explain_needs_no_cluster_and_names_what_a_wrong_word_was_meant_for(plugin: Plugin) -> None:
    assert "What to do: " in plugin("explain", "backendunreachable", "--kubeconfig", "/nothing").stdout
    refused = plugin("explain", "BackendUnreachabel")
    assert (refused.returncode, "there are: BackendUnreachable" in refused.stderr) == (1, True)


def test_why_says_which_right_is_missing(server: Server, plugin: Plugin, vmclone: dict[str, Any]) -> None:
    namespace = vmclone["metadata"]["namespace"]
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    rules = [{"apiGroups": ["vmclone.dev"], "resources": ["vmclones", "vmclonereplicas"], "verbs": ["get", "list"]}]
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    server.call("POST", f"{base}/roles", body={**rbac, "kind": "Role", "metadata": {"name": "reader"}, "rules": rules})
    binding = {
        **rbac,
        "kind": "RoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    server.call("POST", f"{base}/rolebindings", body=binding)
    done = plugin("why", name_of(vmclone), "--as", "reader")
    assert done.returncode == 0, done.stderr
    assert "the right `get clonesources.vmclone.dev` is missing" in done.stdout


def test_create_prints_a_manifest_for_git_and_makes_nothing(plugin: Plugin, namespace: str, server: Server) -> None:
    done = plugin("create", "fresh", "--source", "golden", "--replicas", "3", "--mode", "Clean", "--dry-run")
    manifest = yaml.safe_load(done.stdout)
    assert manifest["spec"] == {"source": {"name": "golden"}, "replicas": 3, "mode": "Clean"}
    there = server.call("GET", f"/apis/{API_VERSION}/namespaces/{namespace}/vmclones/fresh")
    assert there.status == 404


def test_create_scale_pause_resume_and_delete_do_what_they_say(plugin: Plugin, namespace: str, server: Server) -> None:
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/vmclones/made"
    assert plugin("create", "made", "--source", "golden").returncode == 0
    assert plugin("scale", "made", "--replicas", "4").returncode == 0
    assert plugin("pause", "made").returncode == 0
    spec = server.call("GET", path).body["spec"]
    assert (spec["replicas"], spec["paused"]) == (4, True)
    assert plugin("resume", "made").returncode == 0
    assert server.call("GET", path).body["spec"]["paused"] is False
    assert plugin("delete", "made", "--wait").returncode == 0
    assert server.call("GET", path).status == 404


def test_a_refused_manifest_is_told_in_the_servers_words(plugin: Plugin) -> None:
    done = plugin("create", "bad", "--source", "golden", "--session-prefix", "NOT_A_NAME")
    assert done.returncode == 1
    assert "spec.sessionPrefix" in done.stderr
    assert plugin("create", "bad").returncode == 1


def test_delete_with_orphan_asks_for_the_vms_to_stay(plugin: Plugin, server: Server, vmclone: dict[str, Any]) -> None:
    meta = {"metadata": {"finalizers": ["vmclone.dev/teardown"]}}
    assert server.merge(vmclone, meta).status == 200
    assert plugin("delete", name_of(vmclone), "--orphan").returncode == 0
    stored = server.get(vmclone)
    assert stored["spec"]["deletion"]["onDelete"] == "Orphan"
    assert stored["metadata"]["deletionTimestamp"]
    server.merge(vmclone, {"metadata": {"finalizers": None}})


def test_approve_writes_the_hash_of_the_plan_that_plan_shows(
    plugin: Plugin, server: Server, vmclone: dict[str, Any], write_status: WriteStatus
) -> None:
    assert "no plan" in plugin("approve", name_of(vmclone)).stderr
    write_status(PLANNED)
    assert "Create dev-1 (ScaleUp)" in plugin("plan", name_of(vmclone)).stdout
    assert plugin("approve", name_of(vmclone)).returncode == 0
    assert server.get(vmclone)["metadata"]["annotations"]["vmclone.dev/approved-plan"] == "ab12cd"


def test_retry_and_sync_home_write_the_time_of_the_request(
    plugin: Plugin, server: Server, vmclone: dict[str, Any]
) -> None:
    assert plugin("retry", name_of(vmclone)).returncode == 0
    refused = plugin("sync-home", name_of(vmclone))
    assert "homeCopy.refresh" in refused.stderr
    server.merge(vmclone, {"spec": {"homeCopy": {"refresh": "OnRequest"}}})
    assert plugin("sync-home", name_of(vmclone)).returncode == 0
    assert {"vmclone.dev/retry-at", "vmclone.dev/sync-requested-at"} <= server.get(vmclone)["metadata"][
        "annotations"
    ].keys()


def test_tree_and_history_show_the_replica_and_its_steps(
    plugin: Plugin, vmclone: dict[str, Any], replica: dict[str, Any]
) -> None:
    tree = plugin("tree", name_of(vmclone)).stdout
    assert f"VMCloneReplica {name_of(replica)}" in tree
    assert "VM dev-1-aabbcc uuid-1" in tree
    assert f"{NOW}  dev-1: Clone is done" in plugin("history", name_of(vmclone)).stdout


def test_a_login_to_a_clone_without_an_address_is_refused(plugin: Plugin, replica: dict[str, Any]) -> None:
    done = plugin("ssh", "dev-1", "--user", "dev")
    assert "not ready to log in to" in done.stderr
    assert "there are: dev-1" in plugin("ssh", "nobody", "--user", "dev").stderr
    assert replica


def test_sources_shows_what_there_is(plugin: Plugin) -> None:
    done = plugin("sources")
    assert done.returncode == 0
    assert done.stdout.startswith("SOURCE")


def test_doctor_says_that_nobody_leads(plugin: Plugin, namespace: str) -> None:
    done = plugin("doctor", "--operator-namespace", namespace)
    assert done.returncode == 1
    assert "ok     vmclones.vmclone.dev is served" in done.stdout
    assert f"no operator has a Lease in {namespace}" in done.stdout


def test_a_report_has_the_objects_and_no_copies_of_manifests(
    plugin: Plugin, vmclone: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "report.tar.gz"
    assert plugin("report", str(file), "--operator-namespace", "kube-system").returncode == 0
    with tarfile.open(file) as archive:
        entry = archive.extractfile("vmclone-report/vmclones.json")
        assert entry is not None
        text = entry.read().decode()
    assert name_of(vmclone) in {name_of(item) for item in json.loads(text)["items"]}
    assert "managedFields" not in text
