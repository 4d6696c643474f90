"""Nothing to do is nothing done; and a deletion is not kept waiting by what is being done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from tests.e2e import audit as auditing
from tests.e2e.audit import AuditLog, Entry
from tests.e2e.cluster import (
    REPLICAS,
    VMCLONES,
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
from tests.e2e.machines import Starts, domains_of, volumes_of
from tests.e2e.operator_run import Operator
from tests.e2e.story import Demo
from tests.e2e.watching import Watch
from tests.e2e.wishes import clone_source, fake_backend, vmclone
from tests.support.cluster_cli import kubectl

pytestmark = pytest.mark.guest
QUIET_SECONDS = 240
INTENTS_SECONDS = 3
"""In which a VMClone writes down what it is about to do, each thing before it is done."""
FAKE = "e2e-fake"


def _is_work(entry: Entry) -> bool:
    return auditing.by_operator(entry) and entry["objectRef"]["resource"] != "leases"


def _calm(audit: AuditLog, mark: int) -> bool:
    """Tell whether the operator has written nothing for three seconds."""
    written = audit.writes(mark, _is_work)
    return not written or (datetime.now(UTC) - auditing.received(written[-1])).total_seconds() > 3


@pytest.fixture(scope="module")
def taken_over(demo: Demo, audit: AuditLog, request: pytest.FixtureRequest) -> list[Entry]:
    """What another operator wrote about the demo's clones from the moment when it took over."""
    mark = audit.mark()
    operator: Operator = request.getfixturevalue("operator")
    assert operator.kills == 0
    wait_until("the operator has nothing left to write", lambda: _calm(audit, mark), 30)
    names = {"dev", *(replica["metadata"]["name"] for replica in demo.replicas)}
    return audit.writes(mark, lambda e: _is_work(e) and e["objectRef"].get("name") in names)


@pytest.fixture(scope="module")
def twenty_ready(demo: Demo, taken_over: list[Entry], audit: AuditLog) -> Iterator[Demo]:  # noqa: ARG001  - in this order
    """The demo's three clones under another operator, and 17 that exist only in its memory."""
    mark = audit.mark()
    apply(fake_backend(FAKE), clone_source(FAKE, backend=FAKE), vmclone(FAKE, source=FAKE, replicas=17))
    wait_ready(FAKE, 120)
    wait_ready("dev", 10)
    wait_until("the operator has nothing left to write", lambda: _calm(audit, mark), 30)
    yield demo
    delete(FAKE)
    wait_until("the fake clones are gone", lambda: find(VMCLONES, FAKE) is None, 60)
    kubectl("delete", f"clonesources.vmclone.dev/{FAKE}", f"clonebackends.vmclone.dev/{FAKE}")


def test_an_operator_that_takes_over_writes_nothing_about_what_is_settled(taken_over: list[Entry]) -> None:
    assert [auditing.described(entry) for entry in taken_over] == []


def test_the_clones_outlive_their_operator(twenty_ready: Demo, starts: Starts) -> None:
    before = [(r["metadata"]["uid"], r["status"]["guest"]) for r in twenty_ready.replicas]
    assert [(r["metadata"]["uid"], r["status"]["guest"]) for r in replicas_of("dev")] == before
    assert [starts.of(clone.domain) for clone in twenty_ready.clones] == [1, 1, 1]


def test_a_rollout_of_seventeen_tells_how_far_it_is_about_once_a_second(twenty_ready: Demo, audit: AuditLog) -> None:
    assert twenty_ready.replicas
    made = datetime.fromisoformat(get(VMCLONES, FAKE)["metadata"]["creationTimestamp"])
    written = audit.writes(0, lambda e: auditing.by_operator(e) and auditing.is_on(e, VMCLONES, FAKE))
    told = [t for t in map(auditing.received, written) if (t - made).total_seconds() > INTENTS_SECONDS]
    assert len(told) > len(replicas_of(FAKE)) / 10
    # One more in any second than the one that is due: the last clone's becoming Ready is told at once.
    assert all((third - first).total_seconds() >= 1 for first, third in zip(told, told[2:], strict=False)), told


@pytest.mark.usefixtures("stock_boot")  # it boots meanwhile: a foreign VM's events are no work
def test_twenty_settled_replicas_cost_no_write_in_four_minutes(twenty_ready: Demo, audit: AuditLog) -> None:
    assert (len(twenty_ready.replicas), len(replicas_of(FAKE))) == (3, 17)
    mark, deadline = audit.mark(), time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        written = [auditing.described(entry) for entry in audit.writes(mark, _is_work)]
        assert written == []
        time.sleep(2)
    renewals = audit.writes(mark, auditing.by_operator)
    tell(f"{QUIET_SECONDS} s with 20 Ready: 0 writes besides {len(renewals)} renewals of the Lease")
    assert len(renewals) > QUIET_SECONDS / 10, "the operator is alive and the audit log has it"


@pytest.mark.usefixtures("operator", "source")
def test_a_delete_during_a_clone_is_seen_within_a_second(audit: AuditLog) -> None:
    with Watch() as watch:
        apply(vmclone("brief"))
        for change in watch.changes(60, "brief-1 waits for its frozen point or its disks"):
            if change["metadata"]["name"] == "brief-1" and state_of(change) in ("Freeze", "Clone"):
                break
    mark = audit.mark()
    delete("brief")

    def acted() -> list[Entry]:
        return audit.writes(mark, lambda e: auditing.by_operator(e) and auditing.is_on(e, REPLICAS, "brief-1"))

    wait_until("the operator removes brief-1", lambda: [e for e in acted() if e["verb"] == "delete"], 30, pause=0.2)
    asked = audit.writes(mark, lambda e: e["verb"] == "delete" and auditing.is_on(e, VMCLONES, "brief"))[0]
    answered = next(entry for entry in acted() if entry["verb"] == "delete")
    seconds = (auditing.received(answered) - auditing.received(asked)).total_seconds()
    tell(f"delete during a clone: seen after {seconds:.2f} s")
    assert seconds <= 1
    wait_until("brief is gone", lambda: find(VMCLONES, "brief") is None, 60)


@pytest.mark.usefixtures("operator")
def test_deleting_the_demo_while_ready_leaves_nothing(demo: Demo) -> None:
    delete("dev")
    begun = time.monotonic()
    wait_until("dev is gone", lambda: find(VMCLONES, "dev") is None, 60)
    tell(f"three Ready clones deleted in {time.monotonic() - begun:.1f} s")
    assert replicas_of("dev") == []
    assert domains_of(demo.replicas) == set()
    assert volumes_of(demo.vmclone, demo.replicas) == set()
