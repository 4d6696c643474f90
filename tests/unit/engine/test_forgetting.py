"""What is remembered of an object goes with it: an operator that runs for months must not grow with each deletion."""

from __future__ import annotations

from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.work.queue import WorkQueue
from vmclone_operator.kube.cluster import Key, Kind

KEY = Key(Kind.REPLICA, "team-a", "dev-1")


def test_what_a_deleted_key_failed_with_does_not_count_for_the_next_of_its_name() -> None:
    queue = WorkQueue()
    waits = [queue._backoff(KEY) for _ in range(5)]
    queue.forget(KEY)
    assert waits[-1] > 10
    assert queue._backoff(KEY) <= 1.1
    assert len(queue._failures) == 1


def test_a_cache_that_is_asked_for_the_replicas_of_what_is_gone_remembers_nothing_of_it() -> None:
    cache = Cache()
    assert cache.replicas_of("the-uid-of-one-that-is-gone") == []
    assert cache._in_order == {}
