"""The XML documents that these tests read, and one intent: what a clone of any of them is made from."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from vmclone_operator.domain.backend import CloneIntent, Seed, Stamp
from vmclone_operator.providers.libvirt import domain_xml

DATA = Path(__file__).parent / "data"
LAB = "lab-source.xml"
DESKTOP = "desktop-source.xml"
INCARNATION = "5b1d5f6e-0c0a-4b57-9a53-0d6d3a1f7c10"
STAMP = Stamp(
    instance="7a1f0f52-1111-4e0e-9d1f-2f1f5f8f0001",
    namespace="team-a",
    vmclone="dev",
    vmclone_uid="7a1f0f52-2222-4e0e-9d1f-2f1f5f8f0002",
    ordinal=2,
    incarnation=INCARNATION,
)
INTENT = CloneIntent(
    stamp=STAMP,
    token="t1",
    vm_name="dev-2-5b1d5f",
    uuid="3f3c2b5e-8f4e-5d43-9a53-7d6d3a1f7c11",
    source_id="654e6657-ea22-4535-a347-9654021db39a",
    frozen_token="f1",
    seed=Seed(instance_id="3f3c2b5e-8f4e-5d43-9a53-7d6d3a1f7c11", hostname="dev-2-5b1d5f"),
)


def read(name: str) -> ET.Element:
    """Return a document of `data/` as the adapter reads it."""
    return domain_xml.parsed((DATA / name).read_text())


def lab_source_with(path: str, fragment: str) -> ET.Element:
    """Return the lab's source with one more element below `path` (`.` is the domain itself)."""
    source = read(LAB)
    parent = source.find(path)
    assert parent is not None, path
    parent.append(domain_xml.parsed(fragment))
    return source


def lab_source_without(parent_path: str, tag: str) -> ET.Element:
    """Return the lab's source without the elements of this tag below `parent_path`."""
    source = read(LAB)
    for parent in source.findall(parent_path):
        for child in parent.findall(tag):
            parent.remove(child)
    return source


def values(document: ET.Element) -> set[str]:
    """Return every attribute value and every text of a document."""
    found = {value for element in document.iter() for value in element.attrib.values()}
    return found | {element.text.strip() for element in document.iter() if element.text and element.text.strip()}
