"""Sources made from libvirt's schema: each is refused with a sentence before anything is made, or its clone is its own.

CI runs 200 of them, the same each time, and starts one clone in eight. By hand, so many others, each clone started,
with how they ended:

    VMCLONE_EXAMPLES=2000 hack/lab exec -- python -m pytest tests/integration/libvirt/test_generated_sources_real.py
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field

import libvirt
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.contract.libvirt_backend import LibvirtFacts, open_session, scratch
from tests.integration.libvirt import shapes
from tests.support.clone_judge import REFUSED, judged
from tests.support.domain_grammar import Choose, Impossible, grammar

pytestmark = pytest.mark.libvirt
IN_CI = 200
EXAMPLES = int(os.environ.get("VMCLONE_EXAMPLES", str(IN_CI)))
STARTED_IN_CI = 8
DEVICES = (
    *(
        "disk",
        "interface",
        "channel",
        "serial",
        "console",
        "graphic",
        "disk",
        "interface",
        "tpm",
        "rng",
        "input",
        "video",
    ),
    *("filesystem", "hostdev", "controller", "redirdev", "shmem", "memorydev", "vsock", "watchdog", "sound", "audio"),
    *("parallel", "smartcard", "hub", "memballoon", "panic", "iommu", "lease", "nvram", "redirfilter"),
)
HEADS = (
    "sysinfo",
    "features",
    "clock",
    "cputune",
    "blkiotune",
    "memtune",
    "keywrap",
    "launchSecurity",
    "resources",
    "pm",
    "perf",
    "numatune",
)
"""Definitions of the schema beside devices."""
HEAD_TAGS = frozenset(
    {"sysinfo", "features", "clock", "cputune", "blkiotune", "memtune", "keywrap", "launchSecurity", "resource", "pm"}
    | {"perf", "numatune"}
)
MOST_DEVICES = 5


@dataclass(slots=True)
class Marked:
    """Values for the schema's open places, each with a mark by which it is known again."""

    facts: LibvirtFacts
    number: int = 0
    taken: set[str] = field(default_factory=set)

    def __call__(self, element: str, attribute: str) -> str | None:
        self.number += 1
        n = self.number % 90 + 10
        file = f"{self.facts.pool_path}/data-{self.number % 4}"
        known = {
            ("mac", "address"): f"52:54:00:5a:00:{n:02x}",
            ("target", "dev"): f"{('vd', 'sd', 'hd')[self.number % 3]}{chr(ord('b') + self.number % 20)}",
            ("source", "file"): f"{file}.{('raw', 'qcow2')[self.number % 2]}",
            ("source", "dev"): "/dev/mark0",
            ("source", "dir"): f"{self.facts.pool_path}/mark-folder",
            ("source", "path"): f"{self.facts.pool_path}/mark-{n}.sock",
            ("source", "network"): "default",
            ("source", "pool"): self.facts.pool_name,
            ("source", "volume"): f"data-{self.number % 4}.raw",
            ("log", "file"): f"{self.facts.pool_path}/mark-{n}.log",
            ("source", "service"): f"259{n}",
            ("source", "host"): "127.0.0.1",
            ("source", "port"): f"259{n}",
            ("graphics", "port"): f"159{n}",
            ("graphics", "tlsPort"): f"159{n}",
            ("graphics", "websocket"): f"159{n}",
            ("cid", "address"): f"77{n}",
            ("ip", "address"): f"10.99.0.{n}",
            ("serial", ""): f"MARK-{n}",
            ("entry", ""): f"MARK-{n}",
            ("rom", "file"): "/nowhere/rom",
        }
        if attribute in {"uuid", "portid", "interfaceid", "instanceid", "managerid"} or element == "uuid":
            return f"5a5a{n:04x}-1111-4111-8111-111111111111"
        return known.get((element, attribute))


@dataclass(slots=True)
class Maker:
    """Defines sources on one host."""

    facts: LibvirtFacts
    base: str

    def source(self, machine: str, parts: list[ET.Element]) -> libvirt.virDomain:
        """Define a VM with these parts; what libvirt itself does not take is left out."""
        domain = self._plain(machine)
        defined = self.facts.connection.defineXML(ET.tostring(domain, encoding="unicode"))
        for part in parts:
            changed = ET.fromstring(ET.tostring(domain))  # noqa: S314 - ours
            _add(changed, part)
            with contextlib.suppress(libvirt.libvirtError):
                text = ET.tostring(changed, encoding="unicode")
                defined = self.facts.connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
                domain = changed
        return defined

    def _plain(self, machine: str) -> ET.Element:
        return ET.fromstring(  # noqa: S314 - ours
            f"<domain type='qemu'><name>{self.facts.pool_name}-{uuid.uuid4()}</name><uuid>{uuid.uuid4()}</uuid>"
            f"<memory unit='MiB'>64</memory><os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
            "<features><acpi/></features><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
            f"<source file='{self.base}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
        )


def _add(domain: ET.Element, part: ET.Element) -> None:
    """Put a device beside the others, or another part in the place of one of its kind."""
    devices = domain.find("devices")
    assert devices is not None
    if part.tag not in HEAD_TAGS:
        devices.append(part)
        return
    for old in domain.findall(part.tag):
        domain.remove(old)
    domain.append(part)
    for system in domain.findall("os") if part.get("type") == "smbios" else ():
        ET.SubElement(system, "smbios", mode="sysinfo")


def _parts(choose: Choose, values: Marked) -> list[ET.Element]:
    found = []
    for _ in range(1 + choose(MOST_DEVICES)):
        names = HEADS if choose(8) == 7 else DEVICES
        with contextlib.suppress(Impossible):
            found.append(grammar().make(names[choose(len(names))], choose, values))
    return found


def _images(facts: LibvirtFacts) -> str:
    for number in range(4):
        shapes.image(facts, f"data-{number}.raw", "D", "raw")
        shapes.image(facts, f"data-{number}.qcow2", "D")
    (facts.pool_path / "mark-folder").mkdir()
    return str(shapes.image(facts, "system.qcow2", "A"))


def test_a_source_is_refused_or_its_clone_shares_nothing_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    ends: Counter[str] = Counter()
    words: Counter[str] = Counter()
    with scratch() as facts, asyncio.Runner() as runner:
        opened = open_session(facts)
        session = runner.run(opened.__aenter__())
        maker = Maker(facts, _images(facts))

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=EXAMPLES == IN_CI,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def run(data: st.DataObject) -> None:
            def choose(most: int) -> int:
                return data.draw(st.integers(0, most - 1)) if most > 1 else 0

            machine, parts = ("q35", "pc")[choose(2)], _parts(choose, Marked(facts))
            start = EXAMPLES != IN_CI or sum(ends.values()) % STARTED_IN_CI == 0
            verdict = judged(runner, session, facts, maker.source(machine, parts), start=start)
            ends[verdict.outcome] += 1
            words.update(sentence.partition(":")[0] for sentence in verdict.sentences)

        try:
            run()
        finally:
            runner.run(opened.__aexit__(None, None, None))
            told = [f"{number} {what}" for what, number in [*ends.most_common(), *words.most_common()]]
            capsys.readouterr()
            with capsys.disabled():
                print("", *told, sep="\n")  # noqa: T201 - the figures are what a long run is for
    assert ends[REFUSED], "none was refused"
    assert sum(ends.values()) > ends[REFUSED], "none was cloned"
