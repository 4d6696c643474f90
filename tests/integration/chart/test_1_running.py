"""The operator as Helm installs it works: restricted pods, real libvirt over TLS, a policy that holds."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from tests.integration.chart.release import (
    NAMESPACE,
    RELEASE,
    USERS,
    apply,
    ask,
    do,
    helm,
    ours,
    read,
    wait_ready,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("installed")]
TEAM = {"from": "Names", "names": [USERS]}


def labelled(document: dict[str, Any]) -> dict[str, Any]:
    document["metadata"]["labels"] = {"chart": "test"}
    return document


def test_both_pods_are_ready_under_restricted_pod_security() -> None:
    pods = read("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=operator")["items"]
    running = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    assert [pod["status"]["containerStatuses"][0]["ready"] for pod in running] == [True, True]
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in running] == [0, 0]


def test_one_pod_leads_and_both_say_so_in_their_metrics() -> None:
    pods = read("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=operator")["items"]
    leads = []
    for pod in pods:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
        text = do("kubectl", "get", "--raw", path)
        leads += [line[-3:] for line in text.splitlines() if line.startswith("leader_election_master_status")]
    assert sorted(leads) == ["0.0", "1.0"]


def test_the_image_holds_what_each_backend_needs() -> None:
    code = """
from vmclone_operator.providers import registry
print(*sorted(type(registry.load(kind, allow_fake=True)).__name__ for kind in registry.KINDS))
"""
    told = do("kubectl", "exec", "-n", NAMESPACE, f"deployment/{RELEASE}-vmclone-operator", "--", "python", "-c", code)
    assert told.split() == ["AzureBackend", "FakeBackend", "LibvirtBackend", "ProxmoxBackend"]


def test_a_real_libvirt_is_reached_over_tls(hypervisor: dict[str, str]) -> None:
    spec = {
        "libvirt": {"transport": "tls", "host": hypervisor["tlsHost"], "port": int(hypervisor["tlsPort"])},
        "credentials": {"secretRef": {"name": "hypervisor"}},
    }
    assert apply(labelled(ours("CloneBackend", "chart-tls", spec))).status == 0
    wait_ready("clonebackend/chart-tls")
    assert read("clonebackend", "chart-tls")["status"]["version"]


def test_a_declared_clone_becomes_ready() -> None:
    backend = ours("CloneBackend", "chart-fake", {"fake": {}, "allowedNamespaces": TEAM})
    source = {
        "backend": {"name": "chart-fake"},
        "vm": {"name": "golden-dev"},
        "modes": ["Disk"],
        "home": {"user": "dev"},
        "allowedNamespaces": TEAM,
    }
    assert apply(labelled(backend), labelled(ours("CloneSource", "chart-golden", source))).status == 0
    wish = {"source": {"name": "chart-golden"}, "replicas": 2, "sessionPrefix": "chart"}
    assert apply(ours("VMClone", "dev", wish)).status == 0
    wait_ready("vmclone/dev", "-n", USERS)


CHANGES: dict[str, tuple[dict[str, Any], str, str]] = {
    "its spec is the operator's": ({"spec": {"session": "other"}}, "", "the spec is immutable"),
    "its status too": ({"status": {"state": "Ready", "percent": 3}}, "status", "only the operator writes the status"),
    "its finalizers too": ({"metadata": {"finalizers": []}}, "", "only the operator writes the finalizers"),
    "its owner too": ({"metadata": {"ownerReferences": []}}, "", "only the operator writes the ownerReferences"),
    "other annotations of ours too": ({"metadata": {"annotations": {"vmclone.dev/x": "1"}}}, "", "users may set"),
    "a verb is the user's": ({"metadata": {"annotations": {"vmclone.dev/retry-at": "1"}}}, "", ""),
    "a request for another copy of the home too": (
        {"metadata": {"annotations": {"vmclone.dev/sync-requested-at": "1"}}},
        "",
        "",
    ),
    "an annotation of their own is the user's": ({"metadata": {"annotations": {"team/x": "1"}}}, "", ""),
}


@pytest.mark.parametrize(("change", "part", "refusal"), CHANGES.values(), ids=CHANGES.keys())
def test_what_people_may_change_on_a_replica(change: dict[str, Any], part: str, refusal: str) -> None:
    name = read("vmclonereplicas", "-n", USERS)["items"][0]["metadata"]["name"]
    words = ["--subresource", part] if part else []
    patch = ["patch", "vmclonereplica", name, "-n", USERS, "--type", "merge", "-p", json.dumps(change), *words]
    answer = ask("kubectl", *patch)
    assert (answer.status == 0) == (refusal == ""), answer.text
    assert refusal in answer.text


def test_people_may_not_create_replicas() -> None:
    found = read("vmclonereplicas", "-n", USERS)["items"][0]
    spec, meta = {**found["spec"], "ordinal": 9, "session": "chart-9"}, {"name": "dev-9", "namespace": USERS}
    answer = apply({"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": meta, "spec": spec})
    assert answer.status != 0
    assert "only the operator creates VMCloneReplicas" in answer.text


def test_an_editor_of_the_namespace_may_do_what_users_do() -> None:
    subject = ["--clusterrole=edit", "--user=ada", "-n", USERS]
    do("kubectl", "create", "rolebinding", "ada", *subject)
    may = [("create", "vmclones", ""), ("delete", "vmclonereplicas", ""), ("patch", "vmclones", "scale")]
    may_not = [("create", "vmclonereplicas", ""), ("patch", "vmclones", "status"), ("create", "clonebackends", "")]
    for verb, resource, part in [*may, *may_not]:
        asked = [verb, resource, *(["--subresource", part] if part else [])]
        answer = ask("kubectl", "auth", "can-i", *asked, "-n", USERS, "--as=ada")
        assert (answer.status == 0) == ((verb, resource, part) in may), asked


def test_the_installed_release_passes_its_own_test() -> None:
    answer = ask("helm", "test", RELEASE, "--namespace", NAMESPACE, "--timeout", "60s")
    assert answer.status == 0, answer.text
    assert ask("kubectl", "-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/component=test").text.startswith(
        "No"
    )


def test_what_the_notes_tell_to_apply_is_accepted() -> None:
    notes = do("helm", "get", "notes", RELEASE, "--namespace", NAMESPACE)
    manifests = re.findall(r"^kubectl apply -f - <<'EOF'\n(.*?)^EOF$", notes, re.MULTILINE | re.DOTALL)
    assert [yaml.safe_load(text)["kind"] for text in manifests] == ["CloneBackend", "CloneSource", "VMClone"]
    for text in manifests:
        # The notes' namespace may not exist, and their names may be taken: any others have the same schema.
        document = yaml.safe_load(text.replace("namespace: team-a", "namespace: default"))
        document["metadata"]["name"] = "from-the-notes"
        do("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(document))


def test_two_upgrades_meet_no_conflict_and_write_nothing_to_what_is_settled(installed: dict[str, str]) -> None:
    # The fake's VMs live in the operator's memory and end with it; the hypervisor is what stays settled.
    before = read("clonebackend", "chart-tls")["metadata"]["resourceVersion"]
    for number in ("1", "2"):
        answer = helm("upgrade", "--set", f"podAnnotations.upgrade=u{number}", images=installed)
        assert answer.status == 0, answer.text
    wait_ready("vmclone/dev", "-n", USERS)
    assert read("clonebackend", "chart-tls")["metadata"]["resourceVersion"] == before
