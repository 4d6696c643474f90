"""The only place that knows which backends exist, so that an installation carries only the SDKs it needs."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from vmclone_operator.domain.backend import Backend
from vmclone_operator.domain.errors import CapabilityMissing

KINDS = {
    "libvirt": "vmclone_operator.providers.libvirt:LibvirtBackend",
    "proxmox": "vmclone_operator.providers.proxmox:ProxmoxBackend",
    "azure": "vmclone_operator.providers.azure.backend:AzureBackend",
    "fake": "vmclone_operator.providers.fake:FakeBackend",
}
"""Where each kind of backend is."""
_OWN_PACKAGE = "vmclone_operator"


def load(kind: str, *, allow_fake: bool) -> Backend:
    """Return a backend of that kind; raises CapabilityMissing with what to install or to change."""
    if kind not in KINDS:
        raise CapabilityMissing(f"there is no backend {kind!r}; this operator knows {', '.join(sorted(KINDS))}")
    if kind == "fake" and not allow_fake:
        raise CapabilityMissing("the fake backend makes no real VMs; start the operator with --allow-fake to test")
    module, _, name = KINDS[kind].partition(":")
    try:
        return cast("Backend", getattr(import_module(module), name)())
    except ImportError as error:  # the C library below it may be missing as well
        if (error.name or "").partition(".")[0] == _OWN_PACKAGE:
            raise
        needed = error.name or kind
        raise CapabilityMissing(
            f"the {kind} backend needs the Python package {needed}; run: pip install vmclone-operator[{kind}]"
        ) from error
