"""Definitions that other tools wrote: each is refused with a sentence, or its clone is its own (see corpus/README.md).

They are judged as the generated ones are; a corpus of sources nobody can clone would prove nothing, so most must be.
"""

from __future__ import annotations

import asyncio
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libvirt
import pytest
from tests.contract.libvirt_backend import LibvirtFacts, open_session, scratch
from tests.integration.libvirt import shapes
from tests.support.clone_judge import REFUSED, judged

from vmclone_operator.domain.backend import BackendSession

pytestmark = pytest.mark.libvirt
CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.rglob("*.xml"))
LEAST_CLONED = 0.5


@dataclass(frozen=True, slots=True)
class Host:
    """A scratch host with an operator's session on it."""

    facts: LibvirtFacts
    session: BackendSession
    runner: asyncio.Runner


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with scratch() as facts, asyncio.Runner() as runner:
        opened = open_session(facts)
        session = runner.run(opened.__aenter__())
        try:
            yield Host(facts, session, runner)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def here(text: str, facts: LibvirtFacts) -> str:
    """Return a definition with its name, UUID and disks moved to the scratch host, and nothing else of it changed."""
    domain = ET.fromstring(text)  # noqa: S314 - checked in
    domain.set("type", "qemu")
    for uuid in domain.findall("uuid"):
        domain.remove(uuid)
    domain.attrib.pop("id", None)
    for name in domain.findall("name"):
        name.text = f"{facts.pool_name}-corpus"
    for number, disk in enumerate(domain.findall("devices/disk")):
        driver, source = disk.find("driver"), disk.find("source")
        if source is None or disk.get("type") not in {"file", "block", "volume"}:
            continue
        image_format = "raw" if driver is None else driver.get("type", "raw")
        image = shapes.image(facts, f"corpus-{number}.{image_format}", "C", image_format)
        source.attrib.clear()
        source.set("file", str(image))
        disk.set("type", "file")
    for kind in domain.findall("os/type"):
        kind.set("machine", "pc" if "440" in kind.get("machine", "") or kind.get("machine") == "pc" else "q35")
    return ET.tostring(domain, encoding="unicode")


OUTCOMES: dict[str, str] = {}
ONE_STARTED_OF = 1 if os.environ.get("VMCLONE_EXAMPLES") else 3
"""Each clone is defined and judged; QEMU is started for one of three, and for all where more examples are asked for."""


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(CORPUS)) for file in FILES])
def test_what_other_tools_define_is_refused_or_its_clone_is_its_own(file: Path, host: Host) -> None:
    try:
        defined = host.facts.connection.defineXML(here(file.read_text(encoding="utf-8"), host.facts))
    except libvirt.libvirtError as error:
        pytest.fail(f"this libvirt does not take the document: {error}")
    start = FILES.index(file) % ONE_STARTED_OF == 0
    verdict = judged(host.runner, host.session, host.facts, defined, start=start)
    OUTCOMES[file.name] = verdict.outcome
    print(verdict.outcome, *verdict.sentences, sep="\n  ")  # noqa: T201 - shown when it fails


def test_most_of_the_corpus_can_be_cloned() -> None:
    cloned = sum(outcome != REFUSED for outcome in OUTCOMES.values())
    assert not OUTCOMES or cloned >= LEAST_CLONED * len(OUTCOMES), OUTCOMES
