"""The objects that the tests apply besides examples/."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tests.e2e.cluster import NAMESPACE, Document

API_VERSION = "vmclone.dev/v1alpha1"
_GRANTED = {"from": "Names", "names": [NAMESPACE]}


def vmclone(name: str, *, source: str = "golden-dev", replicas: int = 1) -> Document:
    return {
        "apiVersion": API_VERSION,
        "kind": "VMClone",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"source": {"name": source}, "replicas": replicas},
    }


def clone_source(name: str, *, backend: str, key: str = "") -> Document:
    """Consent to clone the VM of the same name; the scrub lets in nobody but this key."""
    home = {"user": "dev", **({"authorizedKeys": [key]} if key else {})}
    spec = {"backend": {"name": backend}, "vm": {"name": name}, "modes": ["Disk"], "home": home}
    return {
        "apiVersion": API_VERSION,
        "kind": "CloneSource",
        "metadata": {"name": name},
        "spec": {**spec, "allowedNamespaces": _GRANTED},
    }


def fake_backend(name: str) -> Document:
    return {
        "apiVersion": API_VERSION,
        "kind": "CloneBackend",
        "metadata": {"name": name},
        "spec": {"fake": {"bootSeconds": 1}, "allowedNamespaces": _GRANTED},
    }


def foreign_domain(name: str) -> str:
    """Return the XML of somebody else's powered-off VM."""
    domain = ET.Element("domain", type="qemu")
    ET.SubElement(domain, "name").text = name
    ET.SubElement(domain, "memory", unit="MiB").text = "32"
    ET.SubElement(ET.SubElement(domain, "os"), "type", arch="x86_64").text = "hvm"
    return ET.tostring(domain, encoding="unicode")
