"""What the real API server refuses, and kubectl's own words for a deletion, as users meet them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.integration.leaders.conftest import Start
from tests.integration.leaders.operators import Place
from tests.support.cluster_cli import kubectl, wait_until

TOLD_SECONDS = 60
NOWHERE = "https://127.0.0.1:9/"


def apply(*documents: dict[str, Any]) -> None:
    kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)}))


def quota(place: Place) -> list[dict[str, Any]]:
    spec = {"hard": {"count/vmclonereplicas.vmclone.dev": "2"}}
    return [
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "few", "namespace": place.users},
            "spec": spec,
        }
    ]


def policy(place: Place) -> list[dict[str, Any]]:
    api, rule = "admissionregistration.k8s.io/v1", {"operations": ["CREATE"], **_REPLICAS}
    message = "every VMCloneReplica needs the label team"
    validations = [{"expression": "'team' in object.metadata.?labels.orValue({})", "message": message}]
    spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}, "validations": validations}
    bound = {"policyName": place.users, "validationActions": ["Deny"], "matchResources": _only(place)}
    return [
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": place.users}, "spec": spec},
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": place.users},
            "spec": bound,
        },
    ]


def webhook(place: Place) -> list[dict[str, Any]]:
    hook = {
        "name": "check.example.test",
        "clientConfig": {"url": NOWHERE},
        "rules": [{"operations": ["CREATE"], **_REPLICAS}],
        "failurePolicy": "Fail",
        "timeoutSeconds": 2,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **_only(place),
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    return [{**kind, "metadata": {"name": place.users}, "webhooks": [hook]}]


_REPLICAS = {"apiGroups": ["vmclone.dev"], "apiVersions": ["*"], "resources": ["vmclonereplicas"]}


def _only(place: Place) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.users}}}


Made = Callable[[Place], list[dict[str, Any]]]
REFUSALS: dict[str, tuple[Made, str, str, str, int]] = {
    "a quota": (quota, "Stalled", "QuotaExceeded", "exceeded quota: few", 2),
    "a policy": (policy, "Stalled", "AdmissionDenied", "every VMCloneReplica needs the label team", 0),
    "a webhook that is down": (webhook, "Reconciling", "AdmissionUnavailable", "failed calling webhook", 0),
}


@pytest.fixture
def refused(place: Place, request: pytest.FixtureRequest) -> Iterator[tuple[str, str, str, int]]:
    """Have the API server refuse replicas in the users' namespace; return what is to be told."""
    made, *told = request.param
    documents = made(place)
    apply(*documents)
    if made is quota:
        path = "jsonpath={.status.hard}"
        wait_until("the quota counts", lambda: bool(kubectl("get", "quota", "few", "-n", place.users, "-o", path)), 30)
    yield told[0], told[1], told[2], told[3]
    for document in documents:
        meta = document["metadata"]
        where = ["-n", meta["namespace"]] if "namespace" in meta else []
        kubectl("delete", document["kind"].lower(), meta["name"], *where, "--ignore-not-found")


def condition(place: Place, kind: str) -> tuple[str, str]:
    """Return a condition's reason and message."""
    of = f".status.conditions[?(@.type=='{kind}')]"
    path = f"jsonpath={{{of}.reason}}|{{{of}.message}}"
    reason, _, message = kubectl("get", "vmclone", "dev", "-n", place.users, "-o", path, check=False).partition("|")
    return reason, message


@pytest.mark.parametrize("refused", REFUSALS.values(), ids=REFUSALS.keys(), indirect=True)
def test_what_refuses_a_replica_is_read_on_the_vmclone_within_a_minute(
    place: Place, start: Start, refused: tuple[str, str, str, int]
) -> None:
    kind, reason, sentence, ready = refused
    start("first").wait_for('"leading"')
    place.apply("dev", replicas=4)
    wait_until("it is told", lambda: condition(place, kind)[0] == reason, TOLD_SECONDS)
    assert sentence in condition(place, "Ready")[1]
    path = "jsonpath={.status.readyReplicas}"
    read = ("get", "vmclone", "dev", "-n", place.users)
    wait_until("the others are ready", lambda: kubectl(*read, "-o", path) == (str(ready) if ready else ""), 60)
    assert f"{ready}/4 ready: {reason}, " in kubectl(*read)
    note = f'jsonpath={{.items[?(@.reason=="{reason}")].note}}'
    assert sentence in kubectl("get", "events.events.k8s.io", "-n", place.users, "-o", note)


@pytest.mark.parametrize(("cascade", "left"), [("orphan", 2), ("background", 0), ("foreground", 0)])
def test_the_cascades_of_kubectl_mean_what_they_say(place: Place, start: Start, cascade: str, left: int) -> None:
    start("first").wait_for('"leading"')
    place.apply("dev", replicas=2)
    wait_until("its clones are ready", lambda: place.is_ready("dev", 2), 60)
    kubectl("delete", "vmclone", "dev", "-n", place.users, f"--cascade={cascade}", "--timeout=60s")
    kinds = ("get", "vmclones,vmclonereplicas", "-n", place.users, "-o", "name")
    wait_until("the objects are gone", lambda: not kubectl(*kinds), 30)
    clones = [m for m in place.world["machines"].values() if m["name"].startswith("dev")]
    assert len(clones) == left
    assert not any(m["stamp"] for m in clones)


def test_a_node_whose_clock_is_a_month_ahead_expires_nothing(place: Place, start: Start) -> None:
    first = start("first")
    first.wait_for('"leading"')
    place.apply("dev", replicas=1, expireAfter="24h")
    wait_until("its clone is ready", lambda: place.is_ready("dev"), 60)
    first.end()
    kubectl("delete", "lease", "vmclone-operator", "-n", place.namespace)
    ahead = start("ahead", ahead_seconds=30 * 86400)
    ahead.wait_for('"leading"')
    path = "jsonpath={.status.conditions[?(@.type=='ClockSkewed')].message}"
    read = ("get", "clonebackend", place.namespace, "-o", path)
    wait_until("the clock is told of", lambda: "about 30 days ahead of" in kubectl(*read), 60)
    wait_until("on the VMClone", lambda: condition(place, "ClockSkewed")[0] == "ClockSkewed", 30)
    assert place.is_ready("dev")
    assert place.world["effects"]["deletes"] == {}
