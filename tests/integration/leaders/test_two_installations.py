"""Two installations in one cluster: with the same namespaces the second writes nothing, with its own it works."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from tests.integration.leaders.operators import Operator, Place
from tests.support.cluster_cli import kubectl, wait_until

QUIET_SECONDS = 15
Begin = Callable[..., Operator]


@pytest.fixture
def elsewhere(place: Place) -> Iterator[Place]:
    """Return where a second installation is, with users of its own, on the same hypervisor."""
    names = f"{place.namespace}-2", f"{place.users}-2"
    items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
    kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    yield replace(place, namespace=names[0], users=names[1])
    kubectl("delete", "namespace", *names, "--wait=false", "--ignore-not-found")


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Return a function that starts an operator of a place; all of them end with the test."""
    started: list[Operator] = []

    def start(place: Place, identity: str, *more: str) -> Operator:
        started.append(Operator(place, identity, *more))
        return started[-1]

    yield start
    for operator in started:
        print(operator.last_words())  # noqa: T201  - pytest shows it when the test failed
        operator.end()


def test_the_second_of_two_that_overlap_writes_nothing_and_says_what_to_do(
    place: Place, elsewhere: Place, begin: Begin
) -> None:
    since = place.audit_log.stat().st_size
    begin(place, "first").wait_for('"leading"')
    place.apply("dev", replicas=2)
    wait_until("its clones are ready", lambda: place.is_ready("dev", 2), 60)
    second = begin(elsewhere, "second", "--watch-namespaces", f"{place.users},{elsewhere.users}")
    second.wait_for('"not working"')
    mark, effects = place.audit_log.stat().st_size, place.world["effects"]
    time.sleep(QUIET_SECONDS)
    assert place.writes_of("second", since) == []
    assert [w for w in place.writes_of("first", mark) if "/events" not in w] == []  # it tells of the second
    assert place.world["effects"] == effects
    assert second.said(f"the vmclone operator of namespace {place.namespace} (first), in all namespaces, has claimed")
    assert second.said("give each its own namespaces with watchNamespaces")
    path = 'jsonpath={.items[?(@.reason=="SecondInstallation")].note}'
    told = kubectl("get", "events.events.k8s.io", "-n", "default", "-o", path)
    assert f"the vmclone operator of namespace {elsewhere.namespace}" in told


def test_two_with_namespaces_of_their_own_work_side_by_side_and_do_not_argue(
    place: Place, elsewhere: Place, begin: Begin
) -> None:
    since = place.audit_log.stat().st_size
    for where, identity in ((place, "first"), (elsewhere, "second")):
        begin(where, identity, "--watch-namespaces", where.users).wait_for('"leading"')
    for where in (place, elsewhere):
        wish = {
            "apiVersion": "vmclone.dev/v1alpha1",
            "kind": "VMClone",
            "metadata": {"name": "dev", "namespace": where.users},
            "spec": {"source": {"name": place.namespace}, "replicas": 1},
        }
        kubectl("apply", "-f", "-", given=json.dumps(wish))
    for where in (place, elsewhere):
        wait_until("its clone is ready", lambda where=where: where.is_ready("dev"), 60)  # type: ignore[misc]
    time.sleep(5)
    mark = place.audit_log.stat().st_size
    time.sleep(QUIET_SECONDS)
    assert place.writes_of("first", mark) == place.writes_of("second", mark) == []
    assert not [w for w in place.writes_of("second", since) if f"/namespaces/{place.users}/vmclone" in w]
    assert not [w for w in place.writes_of("first", since) if f"/namespaces/{elsewhere.users}/vmclone" in w]
    kubectl("delete", "vmclone", "dev", "-n", elsewhere.users, "--timeout=60s")
