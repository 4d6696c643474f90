"""The stamp decides what may be destroyed: it must come back whole or not at all."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import pytest
from tests.unit.providers.libvirt.documents import STAMP

from vmclone_operator.domain.backend import Stamp
from vmclone_operator.providers.libvirt import domain_xml, stamp

TOKEN = "attempt-1"
WHOLE = dict(stamp.stamp_element(STAMP, TOKEN).attrib)


def _domain(*marks: ET.Element) -> ET.Element:
    domain = ET.Element("domain")
    ET.SubElement(domain, "metadata").extend(marks)
    return domain


def _mark(tag: str = "clone", namespace: str = stamp.NAMESPACE, **changes: str | None) -> ET.Element:
    attributes = {**WHOLE, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return ET.Element(f"{{{namespace}}}{tag}", {name: value for name, value in attributes.items() if value is not None})


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(STAMP, id="ordinary names come back"),
        pytest.param(dataclasses.replace(STAMP, vmclone='a<b&"c', namespace="<x>'"), id="markup in names comes back"),
        pytest.param(dataclasses.replace(STAMP, ordinal=4800), id="a large ordinal comes back"),
    ],
)
def test_a_stamp_survives_the_way_through_a_domain(written: Stamp) -> None:
    text = ET.tostring(_domain(stamp.stamp_element(written, TOKEN)), encoding="unicode")
    assert stamp.read_stamp(domain_xml.parsed(text)) == (written, TOKEN)


def test_other_metadata_beside_the_stamp_does_not_hide_it() -> None:
    other = ET.Element("{http://libosinfo.org/xmlns/libvirt/domain/1.0}libosinfo")
    assert stamp.read_stamp(_domain(other, _mark())) == (STAMP, TOKEN)


def _nested_deeper() -> ET.Element:
    wrapper = ET.Element("{http://example.test/other}archive")
    wrapper.append(_mark())
    return _domain(wrapper)


@pytest.mark.parametrize(
    "domain",
    [
        pytest.param(ET.Element("domain"), id="a domain without metadata carries no stamp"),
        pytest.param(_domain(), id="empty metadata is no stamp"),
        pytest.param(
            _domain(_mark(namespace="http://example.test/other")), id="another tool's clone element is no stamp"
        ),
        pytest.param(_domain(_mark(tag="source")), id="another element of ours is no stamp"),
        pytest.param(_domain(_mark(), _mark()), id="two stamps are none"),
        pytest.param(_nested_deeper(), id="a stamp inside another tool's metadata is no stamp"),
        pytest.param(_domain(_mark(instance=None)), id="without the instance it is no stamp"),
        pytest.param(_domain(_mark(vmclone_uid=None)), id="without the VMClone's uid it is no stamp"),
        pytest.param(_domain(_mark(incarnation=None)), id="without the incarnation it is no stamp"),
        pytest.param(_domain(_mark(token=None)), id="without the token it is no stamp"),
        pytest.param(_domain(_mark(ordinal="two")), id="an ordinal that is no number is no stamp"),
        pytest.param(_domain(_mark(ordinal="")), id="an empty ordinal is no stamp"),
        pytest.param(_domain(_mark(incarnation="")), id="an empty incarnation is no stamp"),
        pytest.param(_domain(_mark(instance="")), id="an empty instance is no stamp"),
    ],
)
def test_half_a_stamp_is_no_stamp(domain: ET.Element) -> None:
    assert stamp.read_stamp(domain) is None
