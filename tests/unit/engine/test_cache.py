"""The cache never goes back in time, forgets what is gone, and always knows whose replica is whose."""

from __future__ import annotations

import pytest

from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.objects.rollout_slots import Place
from vmclone_operator.kube.cluster import Document, Key, Kind

DEV_1 = Key(Kind.REPLICA, "team-a", "dev-1")


def replica(
    name: str = "dev-1", *, version: int = 1, uid: str = "u1", state: str = "Boot", backend: str = "lab", **meta: object
) -> Document:
    return {
        "metadata": {"namespace": "team-a", "name": name, "uid": uid, "resourceVersion": str(version), **meta},
        "spec": {"ordinal": int(name.rsplit("-", 1)[1]), "vmCloneUID": "owner", "backend": backend},
        "status": {"state": state},
    }


def seen(*documents: Document) -> Cache:
    cache = Cache()
    for document in documents:
        cache.put(Kind.REPLICA, document)
    return cache


def slots_taken(cache: Cache, backend: str = "lab") -> int:
    """Return 1 if a CloneBackend with one slot has none left, else 0."""
    last, place = Key(Kind.REPLICA, "x", "x-1"), Place(order=("9", "x"), backend=backend, vmclone="x")
    found = cache.slots.take(last, place)
    cache.slots.gone(last)
    return int(not found)


def version_of(cache: Cache, key: Key = DEV_1) -> str:
    document = cache.get(key)
    return "" if document is None else str(document["metadata"]["resourceVersion"])


NEWS = {
    "a newer version is news": ({"version": 9}, {"version": 10}, True),
    "numbers are compared, not letters": ({"version": 10}, {"version": 9}, False),
    "the same version is no news": ({"version": 9}, {"version": 9}, False),
    "a rebuilt one of the same name is news": ({"version": 9}, {"version": 10, "uid": "u2"}, True),
    "a late event of the one before it is no news": ({"version": 10, "uid": "u2"}, {"version": 9}, False),
}


@pytest.mark.parametrize(("first", "then", "news"), NEWS.values(), ids=NEWS.keys())
def test_an_older_version_never_replaces_a_newer_one(first: dict[str, int], then: dict[str, int], news: bool) -> None:
    cache = seen(replica(**first))  # type: ignore[arg-type]
    assert cache.put(Kind.REPLICA, replica(**then)) is news  # type: ignore[arg-type]
    assert version_of(cache) == str((then if news else first)["version"])


def test_the_first_sight_is_news_and_managed_fields_are_not_kept() -> None:
    cache = Cache()
    assert cache.put(Kind.REPLICA, replica(managedFields=[{"manager": "x"}]))
    kept = cache.get(DEV_1)
    assert kept is not None
    assert "managedFields" not in kept["metadata"]


def test_a_deleted_object_is_forgotten_everywhere() -> None:
    cache = seen(replica())
    cache.drop(Kind.REPLICA, replica(version=2))
    assert cache.get(DEV_1) is None
    assert cache.by_incarnation("u1") is None
    assert (cache.replicas_of("owner"), slots_taken(cache), cache.all(Kind.REPLICA)) == ([], 0, [])


def test_the_end_of_the_old_one_does_not_take_the_new_one_of_the_same_name() -> None:
    cache = seen(replica(uid="u2", version=5))
    cache.drop(Kind.REPLICA, replica(uid="u1", version=4))
    assert version_of(cache) == "5"
    assert cache.by_incarnation("u2") == DEV_1


def test_dropping_what_was_never_seen_is_nothing() -> None:
    cache = Cache()
    cache.drop(Kind.REPLICA, replica())
    assert cache.all(Kind.REPLICA) == []


def test_a_rebuilt_replica_is_found_by_its_own_incarnation_only() -> None:
    cache = seen(replica(uid="u1", version=1), replica(uid="u2", version=2, backend="other"))
    assert (cache.by_incarnation("u1"), cache.by_incarnation("u2")) == (None, DEV_1)
    assert (slots_taken(cache), slots_taken(cache, "other")) == (0, 1)
    assert len(cache.replicas_of("owner")) == 1


def test_replicas_come_by_number_not_by_letter() -> None:
    cache = seen(*(replica(f"dev-{n}", uid=f"u{n}") for n in (10, 2, 1)))
    assert [d["spec"]["ordinal"] for d in cache.replicas_of("owner")] == [1, 2, 10]


UNFINISHED = {
    "not looked at yet": ({"state": ""}, False),
    "waiting for its source's frozen point": ({"state": "Freeze"}, False),
    "at work": ({"state": "Clone"}, True),
    "ready": ({"state": "Ready"}, False),
    "needs a person": ({"state": "Failed"}, False),
    "being deleted": ({"state": "Clone", "deletionTimestamp": "t"}, False),
}


@pytest.mark.parametrize(("fields", "expected"), UNFINISHED.values(), ids=UNFINISHED.keys())
def test_only_a_replica_that_is_being_made_takes_a_slot(fields: dict[str, str], expected: bool) -> None:
    cache = seen(replica(**fields))  # type: ignore[arg-type]
    assert bool(slots_taken(cache)) is expected
    assert not slots_taken(cache, "another")


def test_a_slot_is_given_back_when_it_is_ready_and_taken_again_when_it_is_not() -> None:
    cache = seen(replica(version=1, state="Boot"), replica(version=2, state="Ready"))
    assert not slots_taken(cache)
    cache.put(Kind.REPLICA, replica(version=3, state="Boot"))
    assert slots_taken(cache)


def test_what_a_live_list_does_not_show_is_a_ghost_of_its_kind_only() -> None:
    cache = seen(replica("dev-1"), replica("dev-2", uid="u2"))
    meta = {"namespace": "team-a", "name": "dev", "uid": "v", "resourceVersion": "1"}
    other: Document = {"metadata": meta, "spec": {"source": {"name": "golden-dev"}}}
    cache.put(Kind.VMCLONE, other)
    ghosts = cache.ghosts(Kind.REPLICA, [replica("dev-1", version=7)], cache.versions(Kind.REPLICA))
    assert [d["metadata"]["name"] for d in ghosts] == ["dev-2"]


def test_an_object_made_while_the_list_was_read_is_no_ghost() -> None:
    cache = seen(replica("dev-1"))
    before = cache.versions(Kind.REPLICA)
    cache.put(Kind.REPLICA, replica("dev-2", uid="u2"))
    assert cache.ghosts(Kind.REPLICA, [replica("dev-1")], before) == []
