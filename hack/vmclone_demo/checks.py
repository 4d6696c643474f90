"""What the demo shows of its clones: who they are, and that one can log in with a pinned host key."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vmclone_demo.cluster import ROOT

_COLUMNS = "{:<8} {:<14} {:<15} {:<14} {}"


def show(replicas: Sequence[Mapping[str, Any]], source: Mapping[str, Any]) -> None:
    """Print a table of the clones' identities under the source's own."""
    print(_COLUMNS.format("session", "VM", "address", "machine-id", "host key"))
    own_hash = source["machineIDHash"][:12]
    print(_COLUMNS.format("-", source["name"], source["address"], own_hash, source["hostKey"][-24:]))
    for replica in replicas:
        guest, session = replica["status"]["guest"], replica["spec"]["session"]
        key, machine = guest["sshHostKeys"][0][-24:], guest["machineIDHash"][:12]
        print(_COLUMNS.format(session, guest["hostname"], guest["addresses"][0], machine, key))


def log_in(replica: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    """Log in to a clone and return what it says of itself."""
    guest = replica["status"]["guest"]
    said = ssh(guest["addresses"][0], guest["sshHostKeys"][0], source, "hostname; uptime -p")
    return f"  dev@{guest['addresses'][0]}: {', '.join(said.split(chr(10)))}"


def boot_id(source: Mapping[str, Any]) -> str:
    """Return the source's boot id, which changes with every start."""
    return ssh(source["address"], source["hostKey"], source, "cat /proc/sys/kernel/random/boot_id")


def ssh(address: str, host_key: str, source: Mapping[str, Any], command: str, *, given: str = "") -> str:
    """Run a command on a VM, trusting this host key only."""
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "known_hosts"
        known.write_text(f"{address} {host_key}\n")
        options = {
            "UserKnownHostsFile": str(known),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "20",
        }
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        login = ["ssh", *words, "-i", source["keyFile"], f"{source['user']}@{address}", command]
        argv = [str(ROOT / "hack" / "lab"), "exec", "--", *login]
        return subprocess.run(argv, input=given, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
