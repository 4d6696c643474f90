"""What an image is made of, and its name: a digest of all of it, so that an unchanged checkout builds nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "hack" / "images" / "operator"
RUNTIME_LOCK = ROOT / "requirements-runtime.lock"
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "libvirt0", "python3", "python3-minimal", "python3-venv")
LEFT_OUT = ("doc", "info", "locale", "man")
REPOSITORY = "vmclone.local/vmclone-operator"
_SOURCES = ("LICENSE", "README.md", "pyproject.toml")


def digest(*parts: bytes) -> str:
    """Return twelve hex digits over the parts, in their order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]


def base_key() -> str:
    """Name the root file system."""
    return f"image-base-{digest(repr((SUITE, PACKAGES, LEFT_OUT)).encode())}"


def wheels_key() -> str:
    """Name the folder of wheels of the lock."""
    return f"image-wheels-{digest(RUNTIME_LOCK.read_bytes())}"


def sources() -> list[Path]:
    """Return the files the operator's wheel is made of."""
    package = ROOT / "operator" / "vmclone_operator"
    inside = [p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return sorted([*inside, *(ROOT / name for name in _SOURCES)])


def tag() -> str:
    """Return the tag of the image of this checkout."""
    own = [OPERATOR / "Containerfile", OPERATOR / "install-packages", *sources()]
    named = [str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() for path in own]
    return digest(base_key().encode(), wheels_key().encode(), *named)


def image() -> str:
    """Return the full name of the image of this checkout."""
    return f"{REPOSITORY}:{tag()}"
