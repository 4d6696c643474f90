"""Tells what runs and where everything is, for people and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmclone_lab import layout, libvirtd, namespaces, sources

if TYPE_CHECKING:
    from vmclone_lab.lab import Lab


def collect(lab: Lab) -> dict[str, Any]:
    """Return everything a user of the lab may need to reach it; camelCase as in JSON."""
    paths = lab.paths
    running = {name: lab.is_running(name) for name in sorted(lab.record.processes)}
    found: dict[str, Any] = {
        "up": bool(running) and all(running.values()) and bool(lab.record.components),
        "components": lab.record.components,
        "processes": {name: {"pid": lab.record.processes[name].pid, "running": running[name]} for name in running},
        "netns": paths.name,
        "stateDir": str(paths.state),
        "cacheDir": str(paths.cache),
        "binDir": str(paths.bin),
        "logDir": str(paths.logs),
        "kubeconfig": lab.record.external_kubeconfig or str(paths.kubeconfig),
        "auditLog": str(paths.audit_log),
        "node": {"name": layout.NODE_NAME, "address": layout.NODE_ADDRESS},
        "libvirt": _libvirt(lab),
        "domains": [],
        "sources": [],
    }
    if running.get(libvirtd.LIBVIRTD) and running.get(namespaces.HOLDER):
        found["domains"] = libvirtd.domains(lab)
        known = [sources.read_facts(lab, name) for name in sorted(found["domains"])]
        found["sources"] = [sources.shown(facts) for facts in known if facts]
    return found


def _libvirt(lab: Lab) -> dict[str, Any]:
    return {
        "uri": "qemu:///system",
        "tlsURI": libvirtd.tls_uri(),
        "tlsHost": layout.NODE_ADDRESS,
        "tlsPort": layout.LIBVIRT_TLS_PORT,
        "clientPKI": str(lab.paths.client_pki),
        "network": layout.GUEST_NETWORK,
        "bridge": layout.GUEST_BRIDGE,
        "pool": layout.POOL_NAME,
        "poolPath": layout.POOL_PATH,
        "poolPathOnMachine": str(lab.paths.pool),
    }


def table(found: dict[str, Any]) -> str:
    """Return the same for people."""
    rows = [
        ("lab", "up" if found["up"] else "down or incomplete"),
        ("parts", ", ".join(found["components"]) or "-"),
    ]
    for name, process in found["processes"].items():
        rows.append((name, f"pid {process['pid']}" if process["running"] else "ENDED"))
    rows += [
        ("kubeconfig", found["kubeconfig"]),
        ("audit log", found["auditLog"]),
        ("logs", found["logDir"]),
        ("libvirt TLS", f"{found['libvirt']['tlsURI']}?pkipath={found['libvirt']['clientPKI']}"),
        ("domains", ", ".join(found["domains"]) or "-"),
    ]
    for source in found["sources"]:
        rows.append((f"source {source['name']}", f"{source.get('address', 'no address')}"))
    return "\n".join(f"{name:<26} {value}" for name, value in rows)
