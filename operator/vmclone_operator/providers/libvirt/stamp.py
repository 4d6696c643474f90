"""Our mark in a domain's metadata: how a clone proves whose it is.

It stands in an element under our own namespace URI, so it never collides with another tool's metadata.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET

from vmclone_operator.domain.backend import Stamp

NAMESPACE = "https://vmclone.dev/xmlns/v1"
_TAG = f"{{{NAMESPACE}}}clone"
_MADE_FROM, _SOURCE = "made-from", "source"
ET.register_namespace("vmclone", NAMESPACE)


def stamp_element(stamp: Stamp, token: str, made_from: str = "", source_id: str = "") -> ET.Element:
    """Return the metadata element for a clone made by this attempt."""
    element = ET.Element(
        _TAG,
        {
            "instance": stamp.instance,
            "namespace": stamp.namespace,
            "vmclone": stamp.vmclone,
            "vmclone-uid": stamp.vmclone_uid,
            "ordinal": str(stamp.ordinal),
            "incarnation": stamp.incarnation,
            "token": token,
        },
    )
    if made_from:
        element.set(_MADE_FROM, made_from)
    if source_id:
        element.set(_SOURCE, source_mark(source_id))
    return element


def read_made_from(domain: ET.Element) -> str:
    """Return what the metadata say that a clone of ours was made from; empty where they say nothing."""
    return next((mark.get(_MADE_FROM, "") for mark in domain.findall(f"metadata/{_TAG}")), "")


def source_mark(source_id: str) -> str:
    """Return what stands in a clone's metadata for the UUID of its source: enough to know it again, no copy of it."""
    return hashlib.sha256(source_id.lower().encode()).hexdigest()[:16]


def read_source_mark(domain: ET.Element) -> str:
    """Return the mark of the VM that a clone of ours was made from; empty where the metadata do not say it."""
    return next((mark.get(_SOURCE, "") for mark in domain.findall(f"metadata/{_TAG}")), "")


def read_stamp(domain: ET.Element) -> tuple[Stamp, str] | None:
    """Return the stamp and the attempt's token, or None when this is no clone of ours, or no whole stamp."""
    marks = domain.findall(f"metadata/{_TAG}")
    if len(marks) != 1:
        return None
    try:
        return _parsed(marks[0].attrib)
    except (KeyError, ValueError):
        return None


def _parsed(mark: dict[str, str]) -> tuple[Stamp, str]:
    stamp = Stamp(
        instance=mark["instance"],
        namespace=mark["namespace"],
        vmclone=mark["vmclone"],
        vmclone_uid=mark["vmclone-uid"],
        ordinal=int(mark["ordinal"]),
        incarnation=mark["incarnation"],
    )
    if not all((stamp.instance, stamp.vmclone_uid, stamp.incarnation, mark["token"])):
        raise ValueError("an empty owner would match every owner")
    return stamp, mark["token"]
