"""A backend is told of the source only what means something on its own host."""

from __future__ import annotations

import pytest
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.api.source import CloneSourceSpec
from vmclone_operator.engine.objects.replica import new_replica, read_replica
from vmclone_operator.engine.replica.making import source_name
from vmclone_operator.engine.source.consent import Consent
from vmclone_operator.kube.cluster import Document, Kind


def on_cluster(*nodes: str, pool: str) -> Document:
    """Return the spec of a CloneBackend on a cluster of Proxmox VE."""
    block = {"endpoints": list(nodes), "pool": pool, "vmIDRange": {"first": 9100, "last": 9199}}
    return {"fake": None, "proxmox": block, "credentials": {"secretRef": {"name": "c"}}}


BACKENDS = {
    "a": on_cluster("pve1.a.example", pool="clones"),
    "a-too": on_cluster("pve2.a.example", "pve1.a.example", pool="others"),
    "b": on_cluster("pve1.b.example", pool="clones"),
}


@pytest.mark.parametrize(
    ("home", "name"),
    [("a", "golden-dev"), ("a-too", "golden-dev"), ("b", ""), ("gone", "")],
    ids=["its own backend", "another backend of its cluster", "another cluster", "a backend that is not there"],
)
def test_a_backend_is_told_the_name_of_a_source_that_is_on_its_host(home: str, name: str) -> None:
    sim = Simulation()
    for backend, spec in BACKENDS.items():
        sim.cluster.apply(Kind.BACKEND, manifests.backend(backend, **spec))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone())
    sim.restart()
    (vmclone,) = sim.engine.cache.all(Kind.VMCLONE)
    made = new_replica(vmclone, ordinal=1, session="dev-1", backend="a")
    made["metadata"]["uid"] = "4f1d2b3c-0000-4000-8000-000000000001"
    replica = read_replica(made, instance="i")
    assert replica is not None
    source = CloneSourceSpec.model_validate(manifests.source()["spec"])
    assert source_name(sim.engine, replica, Consent(source=source, source_backend=home)) == name
    assert source_name(sim.engine, replica, Consent(source_backend=home)) == ""
