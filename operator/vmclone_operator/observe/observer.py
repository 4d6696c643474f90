"""Everything that measures, made once in `main`: one registry, so that nothing is counted outside of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, disable_created_metrics

from vmclone_operator.observe.calls import CallMeter
from vmclone_operator.observe.copies import CopyCounts
from vmclone_operator.observe.health import Health, LoopLag, News
from vmclone_operator.observe.passes import PassMeter
from vmclone_operator.observe.ready import ReadyTimes
from vmclone_operator.observe.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmclone_operator.engine.context import Engine


@dataclass(frozen=True, slots=True)
class Observer:
    """The meters and the probes of one process."""

    registry: CollectorRegistry
    health: Health
    passes: PassMeter
    calls: CallMeter
    copies: CopyCounts
    ready: ReadyTimes
    state: State

    def follow(self, engine: Engine, *, relist_seconds: float) -> None:
        """Show the objects of the engine with which this process leads."""
        self.state.engine = engine
        self.health.news = News(engine.heard, clock=engine.clock, relist_seconds=relist_seconds)


def observer(*, clock: Callable[[], float], workers: int) -> Observer:
    """Return a fresh set."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a series per counter that no dashboard reads
    registry = CollectorRegistry()
    health = Health(LoopLag(clock))
    return Observer(
        registry=registry,
        health=health,
        passes=PassMeter(registry, clock=clock, workers=workers),
        calls=CallMeter(registry, clock=clock),
        copies=CopyCounts(registry),
        ready=ReadyTimes(registry),
        state=State(registry, health),
    )
