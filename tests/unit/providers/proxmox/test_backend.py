"""A CloneBackend's block and Secret become a session, or a sentence that says what to write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.doubles.pve.faults import ServerSays
from tests.unit.doubles.pve.clients import TOKEN, cluster
from tests.unit.providers.proxmox.lives import Life, story
from tests.unit.providers.proxmox.servers import served

from vmclone_operator.api.proxmox import ProxmoxSettings
from vmclone_operator.domain.backend import BackendConfig, PlanWish
from vmclone_operator.domain.errors import ActionNeeded, CredentialsInvalid
from vmclone_operator.engine.backends.endpoints import endpoint_of
from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule, Point
from vmclone_operator.providers.proxmox import ProxmoxBackend
from vmclone_operator.providers.proxmox.backend import place_of

SECRET = {"token-id": TOKEN.encode() + b"\n", "token-secret": b"secret\n"}


def opened(settings: dict[str, Any], credentials: dict[str, bytes]) -> str:
    """Open a session with a served cluster; return the version that it says."""

    async def told() -> str:
        async with served(cluster()) as server:
            block = {"endpoints": [f"127.0.0.1:{server.port}"], "fingerprint": server.fingerprint, **settings}
            config = BackendConfig(name="pve", settings=block, credentials=credentials)
            session = await ProxmoxBackend().open(config, wake=lambda _: None, fence=lambda: None)
            try:
                return (await session.check()).version
            finally:
                await session.close()

    return asyncio.run(told())


def test_a_block_and_a_secret_open_a_session() -> None:
    assert opened({}, SECRET) == "Proxmox VE 9.2.11"


@pytest.mark.parametrize(
    "credentials", [{}, {**SECRET, "token-id": b"root@pam"}, {**SECRET, "token-secret": b""}], ids=str
)
def test_a_secret_without_a_token_says_its_keys(credentials: dict[str, bytes]) -> None:
    with pytest.raises(CredentialsInvalid, match=r"token-id .* and token-secret"):
        opened({}, credentials)


def test_a_token_that_is_wrong_is_the_credentials_fault() -> None:
    with pytest.raises(CredentialsInvalid, match="check token-id"):
        opened({}, {**SECRET, "token-secret": b"wrong"})


@pytest.mark.parametrize("settings", [{"endpoints": []}, {"vmIDRange": {"start": 1, "end": 2}}], ids=str)
def test_a_block_of_another_form_is_told_by_its_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ActionNeeded, match="the proxmox block of CloneBackend pve is invalid"):
        opened(settings, SECRET)


def test_a_block_says_where_clones_go() -> None:
    block = {
        "endpoints": ["pve1"],
        "vmIDRange": {"start": 200, "end": 210},
        "nodes": ["pve1"],
        "storage": "tank",
        "seedStorage": "seeds",
        "pool": "clones",
    }
    place = place_of(ProxmoxSettings.model_validate(block))
    assert (place.first_vmid, place.last_vmid, place.nodes) == (200, 210, ("pve1",))
    assert (place.storage, place.seed_storage, place.pool) == ("tank", "seeds", "clones")


def test_two_backends_of_one_cluster_are_one_host_whichever_node_stands_first() -> None:
    def backend(*nodes: str) -> dict[str, Any]:
        return {"metadata": {"name": nodes[0]}, "spec": {"proxmox": {"endpoints": list(nodes)}}}

    assert endpoint_of(backend("PVE2", "pve1")) == endpoint_of(backend("pve1", "pve2"))
    assert endpoint_of(backend("pve1")) != endpoint_of(backend("other"))


@pytest.mark.parametrize("status", [501, 404])
def test_questions_that_a_server_does_not_know_are_not_asked_again(status: int) -> None:
    """Whatever speaks the same API may have no rights and no quorum; what it refuses is told by the write."""

    def unknown(point: Point) -> Fault | None:
        asked = point.call in {"GET /access/permissions", "GET /cluster/status"}
        says = ServerSays(status, f"Method '{point.call}' not implemented")
        return Fault(kind=FaultKind.FAIL, error=says) if asked else None

    async def tell(life: Life) -> None:
        assert (await life.session.check()).version
        source = await life.session.describe_source("golden")
        assert list(await life.session.preflight(source, PlanWish(replicas=1))) == []

    schedule = FaultSchedule(unknown)
    story(tell, cluster(), schedule)
    assert {point.call for point, _ in schedule.struck} == {"GET /access/permissions", "GET /cluster/status"}
