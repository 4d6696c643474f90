"""More, fewer, none: sessions keep their names, and a deletion at any moment leaves nothing behind."""

from __future__ import annotations

import time

import pytest
from tests.e2e.cluster import (
    NAMESPACE,
    VMCLONES,
    Document,
    apply,
    delete,
    find,
    get,
    replicas_of,
    state_of,
    wait_ready,
    wait_until,
)
from tests.e2e.figures import tell
from tests.e2e.machines import domains, domains_of, volumes_of
from tests.e2e.watching import Watch
from tests.e2e.wishes import vmclone
from tests.support.cluster_cli import kubectl

pytestmark = [pytest.mark.guest, pytest.mark.usefixtures("operator", "source")]
GONE_SECONDS = 30


def _is_in(change: Document, name: str, state: str) -> bool:
    """Tell whether a change shows the moment; that its source is frozen, a VMClone says before its replicas do."""
    if state == "Freeze":
        points = (change.get("status") or {}).get("frozenPoints", ())
        return bool(change["metadata"]["name"] == name and points and not points[-1].get("completionTime"))
    return bool(change["metadata"]["name"] == f"{name}-1" and state_of(change) == state)


@pytest.mark.parametrize("state", [pytest.param(s, id=s.lower()) for s in ("Freeze", "Clone", "Boot")])
def test_deleted_in_any_state_a_vmclone_leaves_nothing(state: str) -> None:
    name = f"short-{state.lower()}"
    with Watch() as watch:
        apply(vmclone(name))
        for change in watch.changes(90, f"{name} in state {state}"):
            if _is_in(change, name, state):
                break
    wish, replicas = get(VMCLONES, name), [change] if state != "Freeze" else replicas_of(name)
    if state == "Boot":
        wait_until("the clone boots", lambda: domains_of(replicas) & domains("--state-running"), 30)
    delete(name)
    begun = time.monotonic()
    wait_until(f"{name} is gone", lambda: find(VMCLONES, name) is None, GONE_SECONDS)
    tell(f"deleted in state {state}: gone after {time.monotonic() - begun:.1f} s")
    assert (replicas_of(name), domains_of(replicas), volumes_of(wish, replicas)) == ([], set(), set())


@pytest.mark.by_hand
def test_scaled_up_and_down_sessions_keep_their_names() -> None:
    apply(vmclone("x"))
    wait_until("x boots", lambda: [state_of(r) for r in replicas_of("x")] == ["Boot"], 90)
    first = replicas_of("x")[0]
    kubectl("-n", NAMESPACE, "scale", VMCLONES, "x", "--replicas=3")
    wait_until("all three boot", lambda: [state_of(r) for r in replicas_of("x")] == ["Boot"] * 3, 120)
    replicas = replicas_of("x")
    assert [replica["spec"]["session"] for replica in replicas] == ["x", "x-2", "x-3"]
    kubectl("-n", NAMESPACE, "scale", VMCLONES, "x", "--replicas=1")
    wait_until("two are gone", lambda: len(replicas_of("x")) == 1, GONE_SECONDS)
    assert domains_of(replicas) == domains_of([first])
    for gone in replicas[1:]:
        assert volumes_of({"metadata": {"uid": "none"}}, [gone]) == set()
    wait_ready("x", 300)
    assert replicas_of("x")[0]["metadata"]["uid"] == first["metadata"]["uid"]


@pytest.mark.by_hand
def test_deleted_when_ready_a_vmclone_leaves_nothing() -> None:
    wish, replicas = wait_ready("x", 300), replicas_of("x")
    delete("x")
    begun = time.monotonic()
    wait_until("x is gone", lambda: find(VMCLONES, "x") is None, GONE_SECONDS)
    tell(f"deleted when Ready: gone after {time.monotonic() - begun:.1f} s")
    assert (replicas_of("x"), domains_of(replicas), volumes_of(wish, replicas)) == ([], set(), set())
