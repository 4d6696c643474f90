"""Uninstalling is refused while VMClones exist, and leaves nothing but the CRDs afterwards. Runs after the others."""

from __future__ import annotations

import pytest
from tests.integration.chart.release import NAMESPACE, RELEASE, USERS, ask, do, uninstall

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("installed")]
NAMESPACED = (
    "deployments,pods,jobs,services,serviceaccounts,roles,rolebindings,leases,poddisruptionbudgets,"
    "networkpolicies,secrets"
)
CLUSTER_WIDE = (
    "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,"
    "customresourcedefinitions"
)
SELECTOR = f"app.kubernetes.io/part-of=vmclone,app.kubernetes.io/instance={RELEASE}"


def names(*words: str) -> list[str]:
    return sorted(do("kubectl", "get", *words, "-o", "name", "--ignore-not-found").split())


def test_uninstalling_is_refused_while_vmclones_exist() -> None:
    answer = uninstall()
    assert answer.status != 0
    assert f"{USERS}/dev" in answer.text
    deployment = ask("kubectl", "-n", NAMESPACE, "rollout", "status", "deployment", "--timeout=5s")
    assert deployment.status == 0, "the operator still runs"


def test_afterwards_only_the_definitions_are_left() -> None:
    do("kubectl", "-n", USERS, "delete", "vmclones", "--all", "--timeout=60s")
    answer = uninstall()
    assert answer.status == 0, answer.text
    do("kubectl", "-n", NAMESPACE, "wait", "--for=delete", "pods", "--all", "--timeout=40s")
    left = {name for name in names(NAMESPACED, "-n", NAMESPACE) if not name.endswith("/default")}
    assert left == {"secret/hypervisor"}, "the Secret is the administrator's own"
    assert {name.partition("/")[0] for name in names(CLUSTER_WIDE, "-l", SELECTOR)} == {
        "customresourcedefinition.apiextensions.k8s.io"
    }


def test_what_the_administrator_declared_outlives_the_operator() -> None:
    declared = names("clonebackends,clonesources", "-l", "chart=test")
    assert "clonesource.vmclone.dev/chart-golden" in declared
    do("kubectl", "delete", *declared, "--timeout=30s")  # no operator of another test's may find them
