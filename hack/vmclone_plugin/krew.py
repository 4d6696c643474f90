"""The manifest by which `kubectl krew install` finds and checks the plugin."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import yaml

NAME = "vmclone"
PROGRAM = "kubectl-vmclone"
_SYSTEMS = ("linux", "darwin")
_PROCESSORS = ("amd64", "arm64")


def archive(program: Path, licence: Path, target: Path) -> str:
    """Write the archive that krew unpacks, without times and owners, and return its sha256."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for path, name, mode in ((program, PROGRAM, 0o755), (licence, "LICENSE", 0o644)):
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            entry.mode = mode
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    packed = gzip.compress(plain.getvalue(), mtime=0)
    target.write_bytes(packed)
    return hashlib.sha256(packed).hexdigest()


def manifest(*, version: str, url: str, digest: str) -> str:
    """Return the manifest; one archive serves every system that has Python 3.11."""
    platforms = [
        {
            "selector": {"matchLabels": {"os": system, "arch": processor}},
            "uri": url,
            "sha256": digest,
            "bin": PROGRAM,
            "files": [{"from": PROGRAM, "to": "."}, {"from": "LICENSE", "to": "."}],
        }
        for system in _SYSTEMS
        for processor in _PROCESSORS
    ]
    document: dict[str, Any] = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": NAME},
        "spec": {
            "version": f"v{version}",
            "shortDescription": "See, make, change and reach clones of virtual machines",
            "description": "Shows the clones that a VMClone keeps, says why one is not ready, and logs in to them.",
            "caveats": "Needs python3, 3.11 or newer. Logging in needs OpenSSH.",
            "platforms": platforms,
        },
    }
    return yaml.safe_dump(document, sort_keys=False)
