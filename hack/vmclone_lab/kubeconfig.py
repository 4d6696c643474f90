"""Renders kubeconfig files (as JSON, which is YAML too)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from vmclone_lab import layout
from vmclone_lab.record import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

SERVER = f"https://{layout.NODE_ADDRESS}:{layout.API_PORT}"


def render(authority: str, certificate: str, key: str) -> str:
    """Return a kubeconfig for one user; the arguments are base64 of the PEM files."""
    user = {"client-certificate-data": certificate, "client-key-data": key}
    cluster = {"server": SERVER, "certificate-authority-data": authority}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "vmclone-lab",
        "clusters": [{"name": "vmclone-lab", "cluster": cluster}],
        "users": [{"name": "vmclone-lab", "user": user}],
        "contexts": [
            {
                "name": "vmclone-lab",
                "context": {"cluster": "vmclone-lab", "user": "vmclone-lab"},
            }
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def ensure(path: Path, pki: Path, name: str) -> None:
    """Write the kubeconfig of the certificate `name` unless it exists."""
    if path.exists():
        return
    files = (pki / "ca.crt", pki / f"{name}.crt", pki / f"{name}.key")
    write_atomically(path, render(*(_base64(file) for file in files)))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
