"""What `hack/check-chart` demands of the rendered chart is really demanded: each broken rule is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vmclone_chart.rendered import NAMESPACE
from vmclone_chart.rules import broken

SECURE = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def container(**changes: object) -> dict[str, Any]:
    args = ["--home-copy-image=mirror/copy:1"]
    return {
        "name": "operator",
        "image": "mirror/operator:1",
        "args": args,
        "securityContext": SECURE,
        "resources": {"requests": {"cpu": "1m"}},
        **changes,
    }


def pod(**changes: object) -> dict[str, Any]:
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": security, "containers": [container(**changes)]}
    return {"kind": "Pod", "metadata": {"name": "p", "namespace": NAMESPACE}, "spec": spec}


def role(*verbs: str) -> dict[str, Any]:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": [*verbs]}
    return {"kind": "ClusterRole", "metadata": {"name": "reads"}, "rules": [rule]}


BOUND = {"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": {"name": "reads"}}


def named_alert(name: str) -> dict[str, Any]:
    return alert("vmclone_backend_up == 0", name=name)


def alert(expression: str, *, name: str = "A") -> dict[str, Any]:
    spec = {"groups": [{"rules": [{"alert": name, "expr": expression}]}]}
    return {"kind": "PrometheusRule", "metadata": {"name": "r", "namespace": NAMESPACE}, "spec": spec}


def watching(*groups: str, kind: str = "Role", namespace: str = "team-a") -> dict[str, Any]:
    rule = {"apiGroups": [*groups], "resources": ["vmclones"], "verbs": ["get"]}
    meta = {"name": "reads", **({"namespace": namespace} if kind == "Role" else {})}
    return {"kind": kind, "metadata": meta, "rules": [rule]}


WATCHES = {"args": ["--home-copy-image=mirror/copy:1", "--watch-namespaces=team-a"]}


def dashboard(expression: str) -> dict[str, Any]:
    panel = {"title": "P", "targets": [{"expr": expression}]}
    meta = {"name": "d", "namespace": NAMESPACE}
    return {"kind": "ConfigMap", "metadata": meta, "data": {"fleet.json": json.dumps({"panels": [panel]})}}


KEPT = {
    "a panel on our metric": [dashboard("sum(vmclone_orphans) or vector(0)")],
    "a role on our kinds in a namespace that is watched": [pod(**WATCHES), watching("vmclone.dev")],
    "a restricted pod": [pod()],
    "a role on Secrets that a team may bind": [role("get")],
    "an alert on our metric": [alert('max(vmclone_backend_up{a="b"}) == 0')],
    "an alert on a part of a histogram": [alert("rate(workqueue_queue_duration_seconds_bucket[5m]) > 1")],
}
BROKEN = {
    "a pod that may gain rights": ([pod(securityContext={})], "has a read-only root and no rights to gain"),
    "a pod that requests nothing": ([pod(resources={})], "requests resources"),
    "copies from elsewhere": ([pod(args=["--home-copy-image=copy:1"])], "image of the copies is where"),
    "a role on all Secrets": ([role("get"), BOUND], "reads no Secrets of the whole cluster"),
    "a wildcard": ([role("*")], "has no wildcard"),
    "an alert on what nobody measures": ([alert("vmclone_backend_down > 0")], "exists: vmclone_backend_down"),
    "an alert of ours without a page": ([named_alert("VMCloneUnexplained")], "docs/runbooks/vmcloneunexplained.md"),
    "a panel on what nobody measures": ([dashboard("vmclone_backend_down > 0")], "exists: vmclone_backend_down"),
    "a panel on nothing of ours": ([dashboard("up == 0")], "panel P shows a metric of ours"),
    "an alert on nothing of ours": ([alert("up == 0")], "uses a metric of ours"),
    "other rights in a namespace that is watched": ([watching("vmclone.dev", "")], "namespace of the release"),
    "rights everywhere though some are watched": (
        [pod(**WATCHES), watching("vmclone.dev", kind="ClusterRole"), BOUND],
        "no rights in namespaces that are not watched",
    ),
    "another namespace": ([pod() | {"metadata": {"name": "p", "namespace": "x"}}], "namespace of the release"),
}


@pytest.mark.parametrize("documents", KEPT.values(), ids=KEPT.keys())
def test_what_is_right_is_let_through(documents: list[dict[str, Any]]) -> None:
    assert not [sentence for sentence in broken(documents) if "one image" not in sentence]


@pytest.mark.parametrize(("documents", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_is_named(documents: list[dict[str, Any]], sentence: str) -> None:
    assert [found for found in broken(documents) if sentence in found]
