"""What an image is made of, and its name: a digest of all of it, so that an unchanged checkout builds nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "hack" / "images"
PACKAGE = ROOT / "operator" / "vmclone_operator"
RUNTIME_LOCK = ROOT / "requirements-runtime.lock"
INSTALLER = IMAGES / "install-packages"
SUITE = "bookworm"
LEFT_OUT = ("doc", "info", "locale", "man")
_WHEEL_SOURCES = ("LICENSE", "README.md", "pyproject.toml")


@dataclass(frozen=True)
class Recipe:
    """One image."""

    name: str
    packages: tuple[str, ...]
    """Debian packages of the base."""
    installed: bool
    """Whether the operator is installed as a wheel, with the wheels of its lock; else the relay alone is copied."""

    @property
    def containerfile(self) -> Path:
        """Return how it is built."""
        return IMAGES / self.name / "Containerfile"

    @property
    def repository(self) -> str:
        """Return its name without the tag."""
        return f"vmclone.local/vmclone-{self.name}"

    @property
    def base_key(self) -> str:
        """Name the root file system below it."""
        return f"image-base-{digest(repr((SUITE, self.packages, LEFT_OUT)).encode())}"

    @property
    def image(self) -> str:
        """Return the full name of the image of this checkout."""
        return f"{self.repository}:{self._tag()}"

    def sources(self) -> list[Path]:
        """Return the files of ours that are in it."""
        folder = PACKAGE if self.installed else PACKAGE / "homecopy"
        inside = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        others = [ROOT / name for name in _WHEEL_SOURCES] if self.installed else [PACKAGE / "__init__.py"]
        return sorted([*inside, *others])

    def _tag(self) -> str:
        own = [self.containerfile, INSTALLER, *self.sources()]
        named = [str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() for path in own]
        return digest(self.base_key.encode(), wheels_key().encode() if self.installed else b"", *named)


def digest(*parts: bytes) -> str:
    """Return twelve hex digits over the parts, in their order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]


def wheels_key() -> str:
    """Name the folder of wheels of the lock."""
    return f"image-wheels-{digest(RUNTIME_LOCK.read_bytes())}"


OPERATOR = Recipe(
    "operator", ("ca-certificates", "libvirt0", "python3", "python3-minimal", "python3-venv"), installed=True
)
HOME_COPY = Recipe("home-copy", ("openssh-client", "python3", "rsync"), installed=False)
ALL = {recipe.name: recipe for recipe in (OPERATOR, HOME_COPY)}
