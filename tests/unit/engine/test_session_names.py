"""Who holds a session: a status that records it, a replica that bears it, and only then whoever came first."""

from __future__ import annotations

import pytest

from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.vmclone.session_names import conflict_with, give_back, take
from vmclone_operator.kube.cluster import Document, Kind

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"


def vmclone(name: str, created: str, *, recorded: bool = False, mode: str = "Auto") -> Document:
    meta = {"name": name, "namespace": "team-a", "uid": name, "resourceVersion": "1", "creationTimestamp": created}
    status = {"sessions": [{"ordinal": 1, "session": "dev"}]} if recorded else {}
    spec = {"source": {"name": "golden"}, "sessionPrefix": "dev", "replicas": 1, "plan": {"mode": mode}}
    return {"metadata": meta, "spec": spec, "status": status}


def replica_of(owner: str) -> Document:
    meta = {"name": f"{owner}-1", "namespace": "team-a", "uid": f"{owner}-1", "resourceVersion": "2"}
    return {"metadata": meta, "spec": {"ordinal": 1, "session": "dev", "vmCloneUID": owner, "backend": "lab"}}


HOLDERS = {
    "of two that wish for it, who came first": (vmclone("other", EARLY), [], True),
    "not who came later": (vmclone("other", LATE), [], False),
    "whose status records it, though it came later": (vmclone("other", LATE, recorded=True), [], True),
    "not who is only planned, though it came first": (vmclone("other", EARLY, mode="DryRun"), [], False),
    "who asks before it makes anything, as of two that wish for it": (vmclone("other", EARLY, mode="Manual"), [], True),
    "whose status records it, though it is only planned now": (
        vmclone("other", LATE, recorded=True, mode="DryRun"),
        [],
        True,
    ),
    "whose replica bears it, though it is only planned now": (
        vmclone("other", LATE, mode="DryRun"),
        [replica_of("other")],
        True,
    ),
    "whose replica bears it, before its status says so": (vmclone("other", LATE), [replica_of("other")], True),
}


@pytest.mark.parametrize(("other", "replicas", "held"), HOLDERS.values(), ids=HOLDERS.keys())
def test_a_session_is_held_by(other: Document, replicas: list[Document], held: bool) -> None:
    mine = vmclone("mine", "2026-01-01T00:00:05Z")
    cache = Cache()
    for document in (mine, other):
        cache.put(Kind.VMCLONE, document)
    for document in replicas:
        cache.put(Kind.REPLICA, document)
    found = conflict_with(cache, {}, mine, {}, {})
    assert (found is not None) is held


GIVEN = {
    "who was given it and has not written it yet, though it came later": ("other", "Auto", True),
    "who was given it, though it is only planned by now": ("other", "DryRun", True),
    "nobody who is not there any more": ("gone", "DryRun", False),
}


@pytest.mark.parametrize(("holder", "mode", "held"), GIVEN.values(), ids=GIVEN.keys())
def test_a_session_that_was_given_is_held_by(holder: str, mode: str, held: bool) -> None:
    """Mine came first, and was only planned when the other one looked."""
    mine, other = vmclone("mine", EARLY), vmclone("other", LATE, mode=mode)
    cache = Cache()
    for document in (mine, other):
        cache.put(Kind.VMCLONE, document)
    turns = {("team-a", "dev"): holder, ("team-b", "dev"): "another"}
    assert (conflict_with(cache, turns, mine, {}, {}) is not None) is held


def test_what_was_given_is_held_until_it_is_given_back() -> None:
    one, other, turns = vmclone("one", EARLY), vmclone("other", LATE), dict[tuple[str, str], str]()
    take(turns, one, ["dev-1", "dev-2"])
    take(turns, other, ["other-1"])
    assert (give_back(turns, one), give_back(turns, one)) == (True, False)
    assert turns == {("team-a", "other-1"): "other"}
