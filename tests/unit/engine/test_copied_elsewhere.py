"""Freezes queue by source: who waits asks what every other VMClone wrote down, as it stands there."""

from __future__ import annotations

import pytest
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.engine.source.freezing import copied_elsewhere
from vmclone_operator.kube.cluster import Document, Kind

VM = ("lab", "vm-1")


def on_host(name: str, **more: str) -> Document:
    """Return the spec of a CloneBackend on a host."""
    reached = {"transport": "tls", "host": name, **more}
    return {"fake": None, "libvirt": reached, "credentials": {"secretRef": {"name": "c"}}}


BACKENDS = {
    "lab": on_host("hv1.example"),
    "other-pool": on_host("hv1.example", pool="fast"),
    "elsewhere": on_host("hv2.example"),
}
COPIED = {"id": "t1", "sourceID": "vm-1", "recordedTime": "2026-01-01T00:00:00Z", "frozenTime": "2026-01-01T00:00:01Z"}
INTENDED = {**COPIED, "frozenTime": ""}
DONE = {**COPIED, "completionTime": "2026-01-01T00:01:00Z"}


def status(*points: Document, backend: str = "lab") -> Document:
    return {"source": {"id": "vm-1", "backend": backend}, "frozenPoints": list(points)}


ANSWERS: dict[str, tuple[Document | None, bool]] = {
    "nobody wrote anything": (None, False),
    "it has no frozen point": (status(), False),
    "it is copied": (status(COPIED), True),
    "it is copied again, after an older point": (status(DONE, COPIED), True),
    "it is copied, and a backend was not told": ({"frozenPoints": [COPIED]}, True),
    "it is only intended: nothing was frozen yet": (status(INTENDED), False),
    "its copy is complete": (status(DONE), False),
    "another VM is copied": (status({**COPIED, "sourceID": "vm-2"}), False),
    "it is copied through another CloneBackend of the host": (status(COPIED, backend="other-pool"), True),
    "another host's VM of this id is copied": (status(COPIED, backend="elsewhere"), False),
    "its CloneBackend is gone": (status(COPIED, backend="gone"), False),
}


@pytest.mark.parametrize(("told", "copied"), ANSWERS.values(), ids=ANSWERS.keys())
def test_whether_another_vmclone_copies_the_source_now(told: Document | None, copied: bool) -> None:
    sim = Simulation()
    for name, spec in BACKENDS.items():
        sim.cluster.apply(Kind.BACKEND, manifests.backend(name, **spec))
    for name in ("mine", "other"):
        sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(name))
    sim.restart()
    mine, other = (document for document in sim.engine.cache.all(Kind.VMCLONE))
    meta = {**other["metadata"], "resourceVersion": "999"}
    sim.engine.cache.put(Kind.VMCLONE, {**other, "metadata": meta, "status": told})
    assert (copied_elsewhere(sim.engine, mine, VM) is not None) is copied
    assert copied_elsewhere(sim.engine, other, VM) is None
