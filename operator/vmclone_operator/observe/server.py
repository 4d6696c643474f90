"""The small HTTP server behind /metrics, /healthz and /readyz; it turns on the same event loop it reports on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from vmclone_operator.observe.health import Health


@asynccontextmanager
async def serving(registry: CollectorRegistry, health: Health, *, port: int) -> AsyncIterator[None]:
    """Serve on all addresses of the pod while the block runs; port 0 serves nothing."""
    if not port:
        yield
        return
    runner = web.AppRunner(application(registry, health), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


def application(registry: CollectorRegistry, health: Health) -> web.Application:
    """Return the three pages."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", _probe(health.not_alive))
    app.router.add_get("/readyz", _probe(health.not_ready))
    return app


def _probe(problem: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        found = problem()
        return web.Response(text=f"{found or 'ok'}\n", status=503 if found else 200)

    return answer
