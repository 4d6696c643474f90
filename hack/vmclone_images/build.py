"""Makes the image: base, wheels and operator wheel are cached by content, buildah runs the Containerfile."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from vmclone_images import recipe
from vmclone_lab import packages
from vmclone_lab.commands import run
from vmclone_lab.progress import step

TOOLS = ("buildah", "mmdebstrap", "runc")


def archive(cache: Path, image: str) -> Path:
    """Return the image of this checkout as an archive that containerd imports; build it unless it is cached."""
    target = cache / f"image-operator-{image.rpartition(':')[2]}.tar"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".image-") as folder:
        context = Path(folder) / "context"
        write_context(context, wheels(cache))
        root_tar = base(cache)
        with step(f"build {image}"):
            built = _build(context, root_tar, Path(folder), image)
        for old in cache.glob("image-operator-*.tar"):
            old.unlink()  # large, and an older checkout can make its own again
        built.rename(target)
    return target


def base(cache: Path) -> Path:
    """Return the root file system, made once per list of packages."""
    target = cache / f"{recipe.base_key()}.tar"
    if target.exists():
        return target
    packages.ensure(TOOLS)
    with step("make the Debian base of the images"), tempfile.TemporaryDirectory(dir=cache, prefix=".base-") as folder:
        left_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in recipe.LEFT_OUT]
        tree = Path(folder) / "base.tar"
        include = f"--include={','.join(recipe.PACKAGES)}"
        run(["mmdebstrap", "--quiet", "--variant=minbase", include, *left_out, recipe.SUITE, tree])
        tree.rename(target)
    return target


def wheels(cache: Path) -> Path:
    """Return a folder with the wheels of the runtime lock, their hashes checked."""
    target = cache / recipe.wheels_key()
    if target.is_dir():
        return target
    with step("make the wheels of the runtime lock"), tempfile.TemporaryDirectory(dir=cache) as folder:
        made = Path(folder) / "wheels"
        wheel: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", made]
        run([*wheel, "--require-hashes", "-r", recipe.RUNTIME_LOCK])
        (made / ".complete").touch()
        made.rename(target)
    return target


def write_context(context: Path, ready_wheels: Path) -> None:
    """Write what the Containerfile copies; without wheels of the lock the build makes them itself."""
    shutil.copytree(ready_wheels, context / "wheels")
    for name in ("Containerfile", "install-packages"):
        shutil.copy(recipe.OPERATOR / name, context / name)
    shutil.copy(recipe.RUNTIME_LOCK, context / "requirements.lock")
    run(["uv", "build", "--quiet", "--wheel", "--out-dir", context / "wheels", recipe.ROOT])
    (context / "wheels" / ".gitignore").unlink(missing_ok=True)


def _build(context: Path, root_tar: Path, scratch: Path, image: str) -> Path:
    """Run the Containerfile in a storage of its own, which goes with the scratch folder."""
    packages.ensure(TOOLS)
    storage: list[str | Path] = [
        "--root",
        scratch / "storage",
        "--runroot",
        scratch / "run",
        "--storage-driver",
        "overlay",
    ]
    buildah: list[str | Path] = ["nice", "-n", "5", "buildah", *storage]
    base_image, result = "vmclone.local/base:1", scratch / "image.tar"
    try:
        container = run([*buildah, "from", "scratch"]).strip()
        run([*buildah, "add", container, root_tar, "/"])
        run([*buildah, "commit", "--quiet", "--rm", container, base_image])
        arguments = ["--build-arg", f"BASE={base_image}", "--build-arg", "BUILD_PACKAGES=", "--tag", image]
        run([*buildah, "build", "--quiet", "--isolation", "chroot", "--pull-never", *arguments, context])
        run([*buildah, "push", "--quiet", image, f"docker-archive:{result}:{image}"])
    finally:
        run([*buildah, "rm", "--all"])
        run([*buildah, "rmi", "--all", "--force"])
    return result


def cache_folder() -> Path:
    """Return the cache that the lab and the environment use, too."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path(os.environ.get("HOME", "/root")) / ".cache")
    return Path(os.environ.get("VMCLONE_CACHE") or Path(home) / "vmclone").absolute()
