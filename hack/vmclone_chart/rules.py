"""What must hold for the rendered chart, whatever the values: each rule yields the sentences that are broken."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from vmclone_chart.rendered import NAMESPACE, ROOT, pods

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
_RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
_METRICS = ROOT / "docs" / "reference" / "metrics.md"
_RUNBOOKS = ROOT / "docs" / "runbooks"
_USED = re.compile(r"\b(?:vmclone|controller_runtime|workqueue|leader_election)_\w+")


def broken(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Return every broken rule."""
    return [
        *_restricted_pods(documents),
        *_least_rights(documents),
        *_places(documents),
        *_no_rights_everywhere(documents),
        *_one_image(documents),
        *_one_registry(documents),
        *_alerts_on_what_exists(documents),
        *_runbooks(documents),
        *_dashboards_of_what_exists(documents),
    ]


def _restricted_pods(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    for pod in pods(documents):
        context = pod["spec"].get("securityContext", {})
        seccomp = context.get("seccompProfile", {}).get("type")
        if not context.get("runAsNonRoot") or seccomp not in {"RuntimeDefault", "Localhost"}:
            yield "every pod runs as non-root under a seccomp profile"
        for container in pod["spec"]["containers"]:
            given = container.get("securityContext", {})
            if {name: given.get(name) for name in _RESTRICTED} != _RESTRICTED or given.get("privileged"):
                yield f"container {container['name']} has a read-only root and no rights to gain"
            if not container.get("resources", {}).get("requests"):
                yield f"container {container['name']} requests resources"


def _least_rights(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    bound = {d["roleRef"]["name"] for d in documents if d["kind"] == "ClusterRoleBinding"}
    for document in documents:
        for rule in document.get("rules") or () if document["kind"] in ("ClusterRole", "Role") else ():
            words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            if "*" in words:
                yield f"{document['metadata']['name']} has no wildcard"
            if document["metadata"]["name"] in bound and "secrets" in rule["resources"]:
                yield f"{document['metadata']['name']} reads no Secrets of the whole cluster"
            if {"escalate", "bind", "impersonate"}.intersection(rule["verbs"]):
                yield f"{document['metadata']['name']} gives no way to more rights"


def _places(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    for document in documents:
        namespace = document["metadata"].get("namespace")
        if (namespace is None) != (document["kind"] in _CLUSTER_WIDE):
            yield f"{document['kind']} {document['metadata']['name']} says its namespace exactly when it has one"
        if namespace not in (None, NAMESPACE) and not _is_for_users(document):
            yield f"{document['kind']} {document['metadata']['name']} is in the namespace of the release"


def _is_for_users(document: dict[str, Any]) -> bool:
    """Return whether a document may be in a namespace that is watched: rights on our own kinds and Events, no other."""
    groups = {group for rule in document.get("rules", ()) for group in rule["apiGroups"]}
    ours = groups <= {"vmclone.dev", "events.k8s.io"}
    return document["kind"] == "RoleBinding" or (document["kind"] == "Role" and ours)


def _no_rights_everywhere(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A release that watches some namespaces has no rights on users' objects in the others."""
    if not any("--watch-namespaces=" in word for pod in pods(documents) for word in _words(pod)):
        return
    bound = {d["roleRef"]["name"] for d in documents if d["kind"] == "ClusterRoleBinding"}
    for document in documents:
        if document["kind"] == "ClusterRole" and document["metadata"]["name"] in bound:
            named = {resource for rule in document["rules"] for resource in rule["resources"]}
            if any(name.startswith(("vmclones", "vmclonereplicas", "events")) for name in named):
                yield f"{document['metadata']['name']} has no rights in namespaces that are not watched"


def _words(pod: dict[str, Any]) -> Iterator[str]:
    for container in pod["spec"]["containers"]:
        yield from container.get("args", ())


def _one_image(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    images = {container["image"] for pod in pods(documents) for container in pod["spec"]["containers"]}
    if len(images) != 1:
        yield f"all pods use one image, so that a mirror needs one: {sorted(images)}"


def _one_registry(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    for pod in pods(documents):
        for container in pod["spec"]["containers"]:
            given = [word for word in container.get("args", ()) if word.startswith("--home-copy-image=")]
            registries = {_registry(word.partition("=")[2] or word) for word in (*given, container["image"])}
            if len(registries) != 1:
                yield f"the image of the copies is where the operator's is: {sorted(registries)}"


def _registry(image: str) -> str:
    return image.rpartition("/")[0]


def _alerts_on_what_exists(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    made = _made()
    for rule in _alerts(documents):
        used = _metrics_in(rule["expr"])
        yield from (f"alert {rule['alert']} uses a metric that exists: {name}" for name in sorted(used - made))
        if not used:
            yield f"alert {rule['alert']} uses a metric of ours"


def _runbooks(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    for rule in _alerts(documents):
        if rule["alert"].startswith("VMClone") and not (_RUNBOOKS / f"{rule['alert'].lower()}.md").is_file():
            yield f"alert {rule['alert']} has a page: docs/runbooks/{rule['alert'].lower()}.md"


def _dashboards_of_what_exists(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    made = _made()
    for document in documents:
        files: dict[str, str] = document.get("data", {}) if document["kind"] == "ConfigMap" else {}
        for name, text in files.items():
            for panel in json.loads(text)["panels"] if name.endswith(".json") else ():
                used = {used for target in panel["targets"] for used in _metrics_in(target["expr"])}
                title = panel["title"]
                yield from (f"panel {title} shows a metric that exists: {other}" for other in sorted(used - made))
                if not used:
                    yield f"panel {title} shows a metric of ours"


def _alerts(documents: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in documents:
        for group in document["spec"]["groups"] if document["kind"] == "PrometheusRule" else ():
            yield from group["rules"]


def _metrics_in(expression: str) -> set[str]:
    """Return the metrics of ours that an expression uses; those of a histogram by its name."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in _USED.findall(expression)}


def _made() -> set[str]:
    """Return the metrics that the operator has, by the page that is generated from its registry."""
    return set(re.findall(r"^\| `(\w+)`", _METRICS.read_text(), re.MULTILINE))
