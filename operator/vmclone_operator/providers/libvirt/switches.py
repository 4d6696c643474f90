"""Switching clones: power, and the network links that a quarantined clone has down."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Power, Stamp
from vmclone_operator.domain.errors import SourceNotFound
from vmclone_operator.providers.libvirt import domain_xml, translate
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt.clones import configuration, owned
from vmclone_operator.providers.libvirt.stamp import NAMESPACE
from vmclone_operator.providers.libvirt.untouched import require_untouched

if TYPE_CHECKING:
    from vmclone_operator.domain.backend import Fence

_NO_MARK = (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_OPERATION_INVALID)
SHUTDOWN_SECONDS = 60.0
"""How long a guest may take to shut down before it is switched off."""


class Switches:
    """The switches of one session's clones; every method blocks and is called in a thread of the session."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._shutdowns: dict[str, float] = {}

    def set_power(self, connection: libvirt.virConnect, stamp: Stamp, power: Power) -> None:
        """Switch a clone on or off. A guest with an agent is asked to shut down before it is switched off.

        Raises SourceExposed for one that could write to anything of its source's.
        """
        domain = owned(connection, stamp)
        if power is Power.ON:
            self._shutdowns.pop(stamp.incarnation, None)
            if not domain.isActive():
                prefix = naming.volume_prefix(stamp.instance, stamp.incarnation)
                require_untouched(connection, domain, prefix)
                self._fence()
                translate.found(domain.create, libvirt.VIR_ERR_OPERATION_INVALID)
        elif domain.isActive():
            agent = domain_xml.agent_connected(domain_xml.parsed(domain.XMLDesc()))
            self._switch_off(domain, stamp.incarnation, patience_seconds=SHUTDOWN_SECONDS if agent else 0.0)

    def set_source_power(self, connection: libvirt.virConnect, source_id: str, power: Power) -> bool:
        """Switch a source on, or shut it down; return whether anything was done.

        It is another's machine: also one without an agent is asked, by ACPI, and has a minute to obey.
        """
        domain = sources.by_uuid(connection, source_id)
        if domain is None:
            raise SourceNotFound(f"the source VM {source_id} is gone")
        if bool(domain.isActive()) is (power is Power.ON):
            return False
        if power is Power.OFF:
            # The id of this run of the VM: a minute that an earlier run was given does not count.
            self._switch_off(domain, f"{source_id}/{domain.ID()}", patience_seconds=SHUTDOWN_SECONDS)
        else:
            self._fence()
            translate.found(domain.create, libvirt.VIR_ERR_OPERATION_INVALID)
        return True

    def _switch_off(self, domain: libvirt.virDomain, run: str, *, patience_seconds: float) -> None:
        asked = self._shutdowns.setdefault(run, time.monotonic())
        self._fence()
        if time.monotonic() - asked < patience_seconds:
            translate.found(domain.shutdown, libvirt.VIR_ERR_OPERATION_INVALID)
        else:
            translate.found(domain.destroy, libvirt.VIR_ERR_OPERATION_INVALID)

    def connect_network(self, connection: libvirt.virConnect, stamp: Stamp) -> None:
        """Set the links up: first for later boots, so that a crash in between is seen as not done."""
        domain = owned(connection, stamp)
        self._links_up(domain, configuration(domain), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        if domain.isActive():
            self._links_up(domain, domain_xml.parsed(domain.XMLDesc()), libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def disown(self, connection: libvirt.virConnect, stamp: Stamp) -> bool:
        """Take our mark off: of what runs first, so that a crash in between is seen as not done."""
        domain = sources.by_uuid(connection, naming.clone_uuid(stamp.incarnation))
        if domain is None:
            return False
        if _mark(domain, libvirt.VIR_DOMAIN_AFFECT_CONFIG) is None:
            return True
        owned(connection, stamp)
        places = [libvirt.VIR_DOMAIN_AFFECT_LIVE] if domain.isActive() else []
        for where in (*places, libvirt.VIR_DOMAIN_AFFECT_CONFIG):
            self._fence()
            removal = (libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, None, NAMESPACE, where)
            translate.found(partial(domain.setMetadata, *removal), *_NO_MARK)
        return True

    def _links_up(self, domain: libvirt.virDomain, xml: ET.Element, where: int) -> None:
        for interface in xml.findall("devices/interface"):
            link = interface.find("link")
            if link is not None and link.get("state") == "down":
                link.set("state", "up")
                self._fence()
                domain.updateDeviceFlags(ET.tostring(interface, encoding="unicode"), where)


def _mark(domain: libvirt.virDomain, where: int) -> str | None:
    """Return our mark, whole or not; None when there is none."""
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    return translate.found(lambda: domain.metadata(kind, NAMESPACE, where), libvirt.VIR_ERR_NO_DOMAIN_METADATA)
