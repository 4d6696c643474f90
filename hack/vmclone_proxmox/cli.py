"""The command line of `hack/test proxmox`: what to try, against which server, as whom."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vmclone_operator.domain.errors import CloneError
from vmclone_operator.providers.proxmox.client import Client, Door
from vmclone_operator.providers.proxmox.session import ProxmoxSession
from vmclone_operator.providers.proxmox.site import Place
from vmclone_operator.providers.seed import seed_image
from vmclone_proxmox.journal import Journal
from vmclone_proxmox.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

_ABOUT = """Clones a VM of a Proxmox VE cluster once, looks at the clone, switches it on and off, and removes everything
again. Nothing happens inside guests. The source is read and copied, never changed: a running source is copied while it
runs. Each step says which calls it made."""


@dataclass(frozen=True, slots=True)
class Token:
    """One API token."""

    name: str
    secret: str


def read_token(text: str) -> Token:
    """Return the token of a file: `user@realm!name=secret`, or id and secret on two lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "=".join(lines).removeprefix("Authorization:").strip().removeprefix("PVEAPIToken=")
    name, _, secret = joined.partition("=")
    if "@" not in name or "!" not in name or not secret:
        raise ValueError("write user@realm!name=secret on one line, or the two parts on two lines")
    return Token(name, secret)


def main(arguments: Sequence[str]) -> int:
    """Try the adapter; return 0 when every step did what it promises and nothing is left."""
    asked = _parser().parse_args(arguments)
    try:
        token = read_token(Path(asked.token_file).read_text(encoding="utf-8"))
        first, last = (int(part) for part in asked.vmids.split("-"))
        ca = Path(asked.ca_file).read_text(encoding="ascii") if asked.ca_file else ""
    except (OSError, ValueError) as error:
        print(f"hack/test proxmox: {error}")
        return 2
    place = Place(
        first_vmid=first,
        last_vmid=last,
        storage=asked.storage,
        seed_storage=asked.seed_storage,
        pool=asked.pool,
    )
    door = Door(
        endpoints=tuple(_host(endpoint) for endpoint in asked.endpoint),
        token_id=token.name,
        token_secret=token.secret,
        ca=ca,
        fingerprint=asked.fingerprint,
    )
    return asyncio.run(_tried(door, place, asked))


def _host(endpoint: str) -> str:
    """Return `host:port` of `https://host:port/`, and of that alone."""
    return urlsplit(endpoint).netloc if "//" in endpoint else endpoint


async def _tried(door: Door, place: Place, asked: argparse.Namespace) -> int:
    journal = Journal()
    try:
        client = Client(door, fence=lambda: None, journal=journal.note)
    except CloneError as error:
        print(f"hack/test proxmox: {error}")
        return 2
    session = ProxmoxSession(client, place, make_seed=seed_image)
    try:
        trial = Trial(session, journal, deadline=asked.timeout)
        done = await trial.run(asked.source)
        if asked.template:
            done = await trial.run(asked.template, what="template") and done
    finally:
        await session.close()
    print("\npassed: every step did what it promises, and nothing is left" if done else "\nFAILED")
    return 0 if done else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hack/test proxmox", description=_ABOUT)
    parser.add_argument("--endpoint", action="append", required=True, help="https://HOST:8006; may be given again")
    parser.add_argument("--token-file", required=True, help="a file with user@realm!name=secret")
    parser.add_argument("--fingerprint", default="", help="SHA-256 of the server's certificate")
    parser.add_argument("--ca-file", default="", help="PEM of the authority that signed it (/etc/pve/pve-root-ca.pem)")
    parser.add_argument("--source", required=True, help="name, VMID or node/VMID of the VM to clone")
    parser.add_argument("--template", default="", help="a template to clone as well")
    parser.add_argument("--vmids", default="9100-9999", help="ids that may be used (default 9100-9999)")
    parser.add_argument("--storage", default="", help="where the copy goes (default: where the source's disks are)")
    parser.add_argument("--seed-storage", default="", help="where the seed's ISO image goes")
    parser.add_argument("--pool", default="", help="the resource pool that VMs are put into")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for each step (default 900)")
    return parser
