"""Builds the pod sandbox image: ten lines of static C in an archive that containerd imports."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path

from vmclone_lab.commands import run
from vmclone_lab.progress import step

NAME = "vmclone.local/pause:1"
USER = "65535:65535"
SOURCE = Path(__file__).parent / "pause.c"


def archive(cache: Path) -> Path:
    """Return where the image archive is cached."""
    key = hashlib.sha256(SOURCE.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]
    return cache / f"pause-{key}.tar"


def build(cache: Path) -> None:
    """Compile and pack the image."""
    with step("build the pause image"), tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "pause"
        run(["gcc", "-Os", "-static", "-s", "-o", program, SOURCE])
        content = docker_archive(NAME, program.read_bytes())
        cache.mkdir(parents=True, exist_ok=True)
        temporary = archive(cache).with_suffix(".new")
        temporary.write_bytes(content)
        temporary.rename(archive(cache))


def tar_of(files: dict[str, tuple[bytes, int]]) -> bytes:
    """Pack (content, mode) by name; no times or owners, so that equal input gives equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def docker_archive(name: str, program: bytes) -> bytes:
    """Return an image in the docker-archive format whose only file is /pause."""
    layer = tar_of({"pause": (program, 0o755)})
    layer_id = "sha256:" + hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": USER},
            "rootfs": {"type": "layers", "diff_ids": [layer_id]},
        }
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    return tar_of(
        {
            "manifest.json": (json.dumps(manifest).encode(), 0o644),
            config_name: (config, 0o644),
            "layer.tar": (layer, 0o644),
        }
    )
