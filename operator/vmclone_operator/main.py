"""The composition root: settings, clients, engine; leads only while it holds the Lease.

`python -m vmclone_operator.main`. Nothing else reads the environment or builds these parts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import kopf

from vmclone_operator.claiming import LOOK_SECONDS, Claiming
from vmclone_operator.engine.backends.sessions import Sessions
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.reconcile import reconcile
from vmclone_operator.engine.resync import LEAST_SECONDS, compare_due, relist, resync
from vmclone_operator.engine.work.host_slots import HostSlots
from vmclone_operator.engine.work.queue import Priority, WorkQueue
from vmclone_operator.handlers import build_registry
from vmclone_operator.homecopy.job_manifest import PodSettings
from vmclone_operator.homecopy.scrub import scrub_program
from vmclone_operator.kube.claims import Claims
from vmclone_operator.kube.client import KubeClient, connect
from vmclone_operator.kube.cluster import Key, Kind, key_of
from vmclone_operator.kube.events import EventRecorder
from vmclone_operator.kube.lease import LeaseKeeper
from vmclone_operator.kube.own_loop import OwnLoop
from vmclone_operator.kube.served import REMEDY, KindsUnfit, demand_kinds, stale_kinds
from vmclone_operator.logs import configure_logs, is_api_answer
from vmclone_operator.observe.observer import Observer, observer
from vmclone_operator.observe.server import serving
from vmclone_operator.providers.registry import load
from vmclone_operator.settings import Settings, read_settings
from vmclone_operator.watches import END_SECONDS, WatchesHang, leave_if_hung, watch

log = logging.getLogger(__name__)

_LIST_AGAIN_SECONDS = 1.0


def main() -> None:
    """Run the operator until it is told to stop or loses the Lease."""
    settings = read_settings(sys.argv[1:], os.environ)
    configure_logs(settings.log_level, settings.log_format)
    with asyncio.Runner() as runner:
        status = 1
        try:
            status = runner.run(run(settings))
        finally:
            leave_if_hung(runner.get_loop(), status)
    sys.exit(status)


async def run(settings: Settings) -> int:
    """Wait for the Lease, lead, and give it back; return the exit status."""
    stop = asyncio.Event()
    # As the first process of a container nobody ends us by default; kopf takes over once we lead.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    watching = observer(clock=time.monotonic, workers=settings.workers)
    cluster = await connect(settings.identity)
    cluster.namespaces = settings.watch_namespaces
    lag = asyncio.create_task(watching.health.lag.watch(), name="lag")
    try:
        async with serving(watching.registry, watching.health, port=settings.metrics_port):
            with OwnLoop("lease") as beside:
                return await _stand_by(settings, cluster, beside, watching, stop)
    finally:
        lag.cancel()
        await cluster.close()


async def _stand_by(
    settings: Settings, cluster: KubeClient, beside: OwnLoop, watching: Observer, stop: asyncio.Event
) -> int:
    """Wait until this operator may lead, then lead; ends early when it is told to stop."""
    instance = settings.instance or await _instance(cluster, settings.namespace)
    await _check_kinds(cluster)
    own = await beside.run(connect(settings.identity))
    try:
        watches = settings.watch_namespaces
        keeper = LeaseKeeper(
            own,
            namespace=settings.namespace,
            identity=settings.identity,
            times=settings.lease,
            works=watching.health.lag.turns,
            watches=watches,
        )
        watching.health.keeper = keeper
        await asyncio.to_thread(scrub_program)  # half a second that the first pass would take otherwise
        log.info("waiting for the lease", extra={"identity": settings.identity})
        if not await _acquired(keeper, beside, stop):
            return 0
        watching.health.leads = True
        holding = asyncio.create_task(beside.run(keeper.hold()), name="lease")
        holding.add_done_callback(lambda _: stop.set())
        claiming = Claiming(
            claims=Claims(
                cluster=cluster,
                namespace=settings.namespace,
                watches=frozenset(watches),
                server_now=cluster.time.now,
            ),
            keeper=keeper,
            write=lambda claim: beside.run(keeper.write_claim(claim)),
            health=watching.health,
        )
        if not await claiming.begin(stop):
            return await _leave(holding, lambda: beside.run(keeper.release()))
        log.info("leading", extra={"identity": settings.identity, "instance": instance})
        return await _lead(settings, cluster, claiming, holding, beside, instance, watching, stop)
    finally:
        await beside.run(own.close())


async def _leave(holding: asyncio.Task[None], release: Callable[[], Awaitable[None]]) -> int:
    """Give the Lease back without having worked; return the exit status."""
    lost = holding.done()
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    await release()
    return 1 if lost else 0


async def _acquired(keeper: LeaseKeeper, beside: OwnLoop, stop: asyncio.Event) -> bool:
    """Wait for the Lease; return false when told to stop before it came."""
    acquiring, stopping = asyncio.create_task(beside.run(keeper.acquire())), asyncio.create_task(stop.wait())
    await asyncio.wait({acquiring, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if acquiring.done():
        await acquiring
        return True
    acquiring.cancel()
    await asyncio.gather(acquiring, return_exceptions=True)
    return False


async def _lead(  # noqa: PLR0917  - everything is made by the caller
    settings: Settings,
    cluster: KubeClient,
    claiming: Claiming,
    holding: asyncio.Task[None],
    beside: OwnLoop,
    instance: str,
    watching: Observer,
    stop: asyncio.Event,
) -> int:
    keeper = claiming.keeper
    cluster.fence = keeper.fence
    queue = WorkQueue(meter=watching.passes)
    engine = _engine(settings, cluster, keeper, instance, queue, watching)
    watching.follow(engine, relist_seconds=settings.relist_seconds)
    engine.keeps_shared = lambda: claiming.claims.keeps_shared(keeper.order)
    if unfit := await _informed(engine, stop):
        log.error("stopped", extra={"problem": unfit})
        await _leave(holding, lambda: beside.run(keeper.release()))
        return 1
    work = [asyncio.create_task(queue.work(lambda key: reconcile(engine, key))) for _ in range(settings.workers)]
    work.append(asyncio.create_task(_every(settings.resync_seconds, lambda: resync(engine))))
    work.append(asyncio.create_task(_every(LEAST_SECONDS, lambda: compare_due(engine))))
    work.append(asyncio.create_task(_every(settings.relist_seconds, lambda: _relist(engine))))
    work.append(asyncio.create_task(_every(LOOK_SECONDS, lambda: claiming.look(engine, stop))))
    for task in work:
        task.add_done_callback(lambda ended: _stop_on_failure(ended, stop))
    leaving = asyncio.create_task(
        _step_down(stop, work, holding, engine, lambda: beside.run(keeper.release())), name="step down"
    )
    ready, failed = asyncio.Event(), ""
    signals = asyncio.create_task(_take_signals(ready, stop), name="signals")
    try:
        # The identity is named because kopf would look this user up, and a container's has no name.
        watches = kopf.operator(
            registry=build_registry(engine, stop),
            identity=settings.identity,  # type: ignore[arg-type]  # a NewType of str that kopf does not export
            clusterwide=not settings.watch_namespaces,
            namespaces=settings.watch_namespaces,
            standalone=True,
            stop_flag=stop,
            ready_flag=ready,
        )
        await watch(watches, stop)
    except Exception as error:
        failed = await _why_watches_ended(cluster, error)
        if not failed:
            raise
    finally:
        failed = failed or _why_work_ended(work)
        signals.cancel()
        stop.set()
        lost = await leaving
    if failed:
        log.error("stopped", extra={"problem": failed})
    else:
        log.info("stopped", extra={"lease": "lost" if lost else "released"})
    return 1 if lost or failed else 0


async def _why_watches_ended(cluster: KubeClient, error: Exception) -> str:
    """Return why kopf ended, in a sentence; empty for what is no answer of the API server, and so a bug."""
    if not isinstance(error, WatchesHang) and not is_api_answer(error):
        return ""
    try:
        await demand_kinds(cluster)
    except KindsUnfit as unfit:
        return str(unfit)
    if isinstance(error, WatchesHang):
        return f"the watches of the API server did not end within {END_SECONDS:.0f} s"
    return f"the API server ended a watch for good: {error}"


async def _informed(engine: Engine, stop: asyncio.Event) -> str:
    """Know all objects before the first pass: what is counted in half a cache would be written, and be wrong.

    Return what is wrong with the definitions of our kinds, for without them it would wait for ever; else nothing.
    """
    try:
        while not await _relist(engine):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LIST_AGAIN_SECONDS):
                    await stop.wait()
                    break
    except KindsUnfit as unfit:
        return str(unfit)
    return ""


async def _relist(engine: Engine) -> bool:
    """List everything; raise KindsUnfit when that fails because a kind is gone.

    A watch does not always tell: kopf only stops watching a kind whose definition goes.
    """
    listed = await relist(engine)
    if not listed:
        await demand_kinds(engine.cluster)
    return listed


def _why_work_ended(work: Sequence[asyncio.Task[None]]) -> str:
    """Return what ended a part of the operator by itself, in a sentence; empty while all of them work."""
    for task in work:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            return str(error) if isinstance(error, KindsUnfit) else f"a part of the operator ended: {error!r}"
    return ""


async def _step_down(
    stop: asyncio.Event,
    work: Sequence[asyncio.Task[None]],
    holding: asyncio.Task[None],
    engine: Engine,
    release: Callable[[], Awaitable[None]],
) -> bool:
    """Once told to stop, end all work and give the Lease back; return whether it was lost.

    It does not wait for kopf, which takes seconds to end its watches: another operator could lead meanwhile.
    """
    await stop.wait()
    lost = holding.done()
    tasks = (*work, holding, *engine.comparing.values())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    try:
        await engine.sessions.close()
    finally:  # else another operator would wait until the Lease runs out
        await release()
    return lost


async def _take_signals(ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Hear SIGTERM ourselves again once kopf is up: it tells nobody before it has ended."""
    await ready.wait()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)


def _stop_on_failure(ended: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Stop the operator when a part of it ended: a process that only looks alive helps nobody."""
    if ended.cancelled():  # by us, when `stop` is set; else by kopf, which cancels what it did not begin
        stop.set()
        return
    if (error := ended.exception()) is None:
        return
    if not isinstance(error, KindsUnfit):  # which is no bug, and is told once, when the operator ends
        log.error("a part of the operator ended", exc_info=error)
    stop.set()


def _engine(  # noqa: PLR0917  - everything is made by the caller
    settings: Settings,
    cluster: KubeClient,
    keeper: LeaseKeeper,
    instance: str,
    queue: WorkQueue,
    watching: Observer,
) -> Engine:
    loop, cache = asyncio.get_running_loop(), Cache()

    def woken(incarnation: str) -> None:
        key = cache.by_incarnation(incarnation)
        if key is not None:
            queue.add(key)
        elif not incarnation:  # a connection came back: anything may have changed meanwhile
            for replica in cache.all(Kind.REPLICA):
                queue.add(key_of(Kind.REPLICA, replica), Priority.LOW)

    sessions = Sessions(
        cluster=cluster,
        namespace=settings.namespace,
        load=lambda kind: watching.calls.backend(kind, load(kind, allow_fake=settings.allow_fake)),
        wake=lambda incarnation: _threadsafe(loop, woken, incarnation),
        fence=keeper.fence,
        clock=time.monotonic,
    )
    events = EventRecorder(cluster, reporter=settings.identity, clock=time.monotonic, now=_now)
    return Engine(
        cluster=cluster,
        cache=cache,
        queue=queue,
        sessions=sessions,
        events=events,
        instance=instance,
        clock=time.monotonic,
        now=_now,
        server_now=cluster.time.now,
        new_token=lambda: secrets.token_hex(4),
        copy_meter=watching.copies,
        ready_meter=watching.ready,
        host_slots=HostSlots(workers=settings.workers),
        pods=PodSettings(
            namespace=settings.namespace,
            image=settings.home_copy_image,
            place=settings.home_copy_pods,
            staging_size=settings.home_copy_staging_size,
        ),
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _threadsafe(loop: asyncio.AbstractEventLoop, call: Callable[[str], None], argument: str) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, argument)


async def _every(seconds: float, action: Callable[[], Awaitable[object]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await action()


async def _instance(cluster: KubeClient, namespace: str) -> str:
    document = await cluster.get(Key(Kind.NAMESPACE, "", namespace))
    if document is None:
        raise SystemExit(
            f"namespace {namespace} does not exist; create it, or name the operator's own with --namespace"
        )
    return str(document["metadata"]["uid"])


async def _check_kinds(cluster: KubeClient) -> None:
    """Refuse to start without our CRDs, or with older ones, which would drop what we write."""
    problems = await stale_kinds(cluster)
    if problems:
        raise SystemExit("\n".join([*problems, REMEDY]))


if __name__ == "__main__":
    main()
