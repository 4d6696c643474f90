"""Rows about network cards: what is on the wire side is the host's, and two VMs must not meet there."""

from __future__ import annotations

from vmclone_operator.providers.libvirt.rules.notation import Section, dropped, kept, made_anew, refused
from vmclone_operator.providers.libvirt.rules.shared import BOOT, SEAT

_NETWORK = "connect it to a network or a bridge"
_SAME = "the card stays as it is, on the same network"
_PORTS = "two VMs would fight for one port of the host, and one take the other's traffic"
_WHOLE = "it takes a device or socket of the host whole"
_SETUP = "a program or an address of the host is set up for the source's own card"

INTERFACE = Section(
    path="devices/interface",
    title="Network cards",
    rows=(
        kept("@type=network|bridge|user|direct|null", "a card that any VM can have a second of"),
        refused("@type=udp|server|client", f"{_PORTS} (udp, server, client)", _NETWORK),
        refused(
            "@type=mcast", "all VMs on one multicast address are on one wire (mcast), which is not kept apart", _NETWORK
        ),
        refused("@type=hostdev|vdpa|vhostuser", f"{_WHOLE} (hostdev, vdpa, vhostuser)", _NETWORK),
        refused("@type=ethernet", "its tap is made and connected by something else on the host (ethernet)", _NETWORK),
        refused("@type=internal|vds", "it is of other hypervisors", _NETWORK),
        kept("(trustGuestRxFilters)", _SAME),
        refused("(managed)", _WHOLE, _NETWORK),
        made_anew("mac", "computed from the uid of the replica"),
        dropped("link", "links of a clone of mode Disk are down until it has its identity, then up"),
        dropped("target", "libvirt names the host's end"),
        dropped("guest", "the host's end in a container"),
        kept("model(type) mtu(size) coalesce coalesce/rx coalesce/rx/frames(max) port(isolated)", _SAME),
        kept("tune tune/sndbuf vlan(trunk) vlan/tag(id nativeMode) teaming(type persistent)", _SAME),
        kept("rom(bar enabled file)", "a file of the host that is only read"),
        kept(
            """driver(name txmode ioeventfd event_idx queues rx_queue_size tx_queue_size rss rss_hash_report iommu
            ats packed page_per_vq) driver/host(csum gso tso4 tso6 ecn ufo mrg_rxbuf)
            driver/guest(csum tso4 tso6 ecn ufo)""",
            "how the device is driven; nothing of the host is named",
        ),
        kept("source(network portgroup bridge dev macTableManager missing)", _SAME),
        kept("source@mode=bridge|vepa|private", _SAME),
        refused("source@mode=passthrough", f"{_WHOLE} (passthrough)", "use mode bridge, vepa or private"),
        refused("source@mode=client|server", _WHOLE, _NETWORK),
        refused(
            "source@(mode address port path type name) source/local source/address source/reconnect", _PORTS, _NETWORK
        ),
        refused("source/vendor source/product", _WHOLE, _NETWORK),
        refused("source/ip source/route", _SETUP, _NETWORK),
        dropped("source@(portid) portid", "the source's port of the network; libvirt draws another"),
        refused("source@(switchid portgroupid connectionid)", "it is of VMware", _NETWORK),
        kept(
            "ip(address family prefix peer) route(family address netmask prefix gateway metric)",
            "in its private network",
        ),
        kept("backend@type=passt|default backend", "which program makes its private network"),
        dropped("backend@(logFile tap vhost hostname fqdn)", "files and names of the source"),
        dropped("portForward", "a port of the host that the source has; clones are reached by addresses of their own"),
        refused("script downscript", _SETUP, _NETWORK),
        refused("backenddomain", "it is of Xen"),
        refused("virtualport@type=midonet", "the port of the switch is one VM's, and must be named", _NETWORK),
        kept("virtualport(type)", "the same switch, under the same profile"),
        kept("virtualport/parameters(profileid managerid typeid typeidversion)", "the same profile"),
        dropped("virtualport/parameters@(interfaceid instanceid)", "one port of the switch; libvirt draws another"),
        kept(
            "bandwidth bandwidth/inbound(average peak burst) bandwidth/outbound(average peak burst)", "limits, per card"
        ),
        dropped(
            "bandwidth@(classID) bandwidth/inbound@(floor) bandwidth/outbound@(floor)", "what is reserved is one card's"
        ),
        kept("filterref(filter)", "the same rules"),
        dropped(
            "filterref/parameter[@name=IP] filterref/parameter[@name=IPV6] filterref/parameter[@name=MAC]",
            "the source's addresses, as which alone the clone could speak; libvirt learns the clone's own",
        ),
        dropped("filterref/parameter[@name=CTRL_IP_LEARNING]", "libvirt learns as it does by default"),
        kept(
            """filterref/parameter@name=DHCPSERVER|GATEWAY|GATEWAY_MAC|PROJNET|PROJMASK|PROJNET6|PROJMASK6|RASERVER
            filterref/parameter filterref/parameter(value)""",
            "of the network, not of the card",
        ),
        refused("filterref/parameter@(name)", "it may be an address of the source", "remove the parameter"),
        BOOT,
        *SEAT,
    ),
)
SECTIONS = (INTERFACE,)
