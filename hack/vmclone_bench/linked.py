"""Linked clones on the lab's libvirtd, from a frozen point that is there: ours, and the least that would do.

The least is `qemu-img create -b` and `virsh define` for each, one after the other: no stamp, no seed, no check of the
source, nothing that a killed process could go on with.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from tests.contract.libvirt_backend import LibvirtFacts, open_session, scratch
from tests.contract.steps import Wish, finished, until

from vmclone_bench.model import Benchmark, Contestant, Sample
from vmclone_operator.domain.backend import BackendSession, CloneIntent, CloneRef, FrozenPoint
from vmclone_operator.providers.libvirt.frozen_names import parse_name

CLONES = 10


def ours(facts: LibvirtFacts, wish: Wish, point: FrozenPoint) -> Sample:
    """Make the clones as replicas do, side by side; return what it took until all were defined."""
    intents = [wish.clone_intent(point, ordinal=ordinal) for ordinal in range(1, CLONES + 1)]

    async def made() -> float:
        async with open_session(facts) as session:
            began = time.monotonic()
            await asyncio.gather(*(_made(session, intent) for intent in intents))
            took = time.monotonic() - began
            await asyncio.gather(*(_removed(session, intent) for intent in intents))
            return took

    return {"to defined, s": asyncio.run(made())}


async def _made(session: BackendSession, intent: CloneIntent) -> None:
    async def complete() -> bool:
        return (await session.start_clone(intent)).done

    await until(complete)


async def _removed(session: BackendSession, intent: CloneIntent) -> None:
    async def gone() -> bool:
        return (await session.delete_clone(CloneRef(stamp=intent.stamp, vm_name=intent.vm_name))).done

    await until(gone)


def least(facts: LibvirtFacts, base: str) -> Sample:
    """Make as many overlays and definitions with the plain tools; return what it took."""
    names = [f"{facts.pool_name}-plain-{number}" for number in range(CLONES)]
    source = facts.connection.lookupByUUIDString(facts.source_id).XMLDesc()
    began = time.monotonic()
    for name in names:
        overlay = str(facts.pool_path / f"{name}.qcow2")
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay)
        definition = facts.pool_path / f"{name}.xml"
        definition.write_text(_definition(source, name, overlay))
        _run("virsh", "-q", "define", str(definition))
    took = time.monotonic() - began
    for name in names:
        _run("virsh", "-q", "undefine", name)
        for end in ("qcow2", "xml"):
            (facts.pool_path / f"{name}.{end}").unlink()
    return {"to defined, s": took}


def _definition(source: str, name: str, disk: str) -> str:
    """Return the source's definition with another name, uuid and disk."""
    root = ET.fromstring(source)  # noqa: S314  - libvirt's own
    for path, text in (("name", name), ("uuid", str(uuid.uuid4()))):
        _found(root, path).text = text
    _found(root, "devices/disk/source").set("file", disk)
    _found(root, "devices/disk/driver").set("type", "qcow2")
    for interface in root.findall("devices/interface"):
        _found(root, "devices").remove(interface)
    return ET.tostring(root, encoding="unicode")


def _found(root: ET.Element, path: str) -> ET.Element:
    found = root.find(path)
    if found is None:
        raise LookupError(path)
    return found


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


async def _frozen(facts: LibvirtFacts, wish: Wish) -> FrozenPoint:
    async with open_session(facts) as session:
        return await finished(session, wish.freeze_intent(facts.source_id))


@contextmanager
def stage() -> Iterator[Sequence[Contestant]]:
    """Yield both ways over one frozen point of a source that is off."""
    with scratch() as facts:
        wish = Wish()
        point = asyncio.run(_frozen(facts, wish))
        base = next(name for name in facts.volume_names() if parse_name(name) is not None)
        yield [
            Contestant(name="vmclone", run=partial(ours, facts, wish, point)),
            Contestant(name="qemu-img and virsh", run=partial(least, facts, str(facts.pool_path / base))),
        ]


BENCHMARK = Benchmark(
    name="linked",
    title=f"{CLONES} linked clones from a frozen point that is there, until all are defined",
    against="qemu-img and virsh",
    judged="to defined, s",
    stage=stage,
    rounds=5,
    lab="libvirt",
)
