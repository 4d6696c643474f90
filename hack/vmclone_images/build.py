"""Makes an image: its base and the lock's wheels are cached by content, buildah runs the Containerfile."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmclone_images import recipe
from vmclone_images.recipe import Recipe
from vmclone_lab import packages
from vmclone_lab.commands import run
from vmclone_lab.progress import step

TOOLS = ("buildah", "mmdebstrap", "runc")


def archive(cache: Path, made: Recipe, image: str) -> Path:
    """Return an image as an archive that containerd imports; build it from this checkout unless it is cached.

    `image` is the name that the recipe gave once: sources that change meanwhile must not give it another.
    """
    target = cache / f"image-{made.name}-{image.rpartition(':')[2]}.tar"
    if target.exists():
        return target
    with _scratch(cache) as folder:
        built = folder / "image.tar"
        _from_checkout(cache, made, folder, image, push_to=f"docker-archive:{built}:{image}")
        for old in cache.glob(f"image-{made.name}-*.tar"):
            old.unlink()  # large, and an older checkout can make its own again
        built.rename(target)
    return target


def oci_layout(cache: Path, made: Recipe, tag: str, *, moment: int, into: Path) -> None:
    """Build an image anew as an OCI image layout in a folder; its bytes depend on the checkout and on the base alone.

    `moment` in Unix seconds is the time of its files and its history.
    """
    with _scratch(cache) as folder:
        _from_checkout(cache, made, folder, made.image, push_to=f"oci:{into}:{tag}", moment=moment)


@contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    """Yield a folder on the cache's disk that goes afterwards."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".image-") as folder:
        yield Path(folder)


def _from_checkout(
    cache: Path, made: Recipe, scratch: Path, image: str, *, push_to: str, moment: int | None = None
) -> None:
    """Build an image from this checkout on its cached base, and push it."""
    context = scratch / "context"
    write_context(context, made, cache)
    root_tar = base(cache, made)
    with step(f"build {image}"):
        _build(context, root_tar, scratch, image, push_to=push_to, moment=moment)


def base(cache: Path, made: Recipe) -> Path:
    """Return the root file system, made once per list of packages."""
    target = cache / f"{made.base_key}.tar"
    if target.exists():
        return target
    packages.ensure(TOOLS)
    title = f"make the Debian base of the {made.name} image"
    with step(title), tempfile.TemporaryDirectory(dir=cache, prefix=".base-") as folder:
        left_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in recipe.LEFT_OUT]
        tree = Path(folder) / "base.tar"
        include = f"--include={','.join(made.packages)}"
        run(["mmdebstrap", "--quiet", "--variant=minbase", include, *left_out, recipe.SUITE, tree])
        tree.rename(target)
    return target


def wheels(cache: Path) -> Path:
    """Return a folder with the wheels of the runtime lock, their hashes checked."""
    target = cache / recipe.wheels_key()
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with step("make the wheels of the runtime lock"), tempfile.TemporaryDirectory(dir=cache) as folder:
        made = Path(folder) / "wheels"
        wheel: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", made]
        run([*wheel, "--require-hashes", "-r", recipe.RUNTIME_LOCK])
        (made / ".complete").touch()
        made.rename(target)
    return target


def write_context(context: Path, made: Recipe, cache: Path) -> None:
    """Write what the Containerfile copies into a new folder."""
    context.mkdir(parents=True)
    for path in (made.containerfile, recipe.INSTALLER):
        shutil.copy(path, context / path.name)
    if made.installed:
        _write_wheels(context, wheels(cache))
        return
    for path in made.sources():
        copy = context / path.relative_to(recipe.PACKAGE.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def _write_wheels(context: Path, ready: Path) -> None:
    """Write the lock, its wheels and the operator's own."""
    shutil.copytree(ready, context / "wheels")
    shutil.copy(recipe.RUNTIME_LOCK, context / "requirements.lock")
    run(["uv", "build", "--quiet", "--wheel", "--out-dir", context / "wheels", recipe.ROOT])
    (context / "wheels" / ".gitignore").unlink(missing_ok=True)


def _build(
    context: Path, root_tar: Path, scratch: Path, image: str, *, push_to: str, moment: int | None = None
) -> None:
    """Run the Containerfile in a storage of its own, which goes with the scratch folder, and push the result."""
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
    base_image = "vmclone.local/base:1"
    times = [] if moment is None else ["--timestamp", str(moment)]
    try:
        container = run([*buildah, "from", "scratch"]).strip()
        run([*buildah, "add", container, root_tar, "/"])
        run([*buildah, "commit", "--quiet", "--rm", *times, container, base_image])
        arguments = ["--build-arg", f"BASE={base_image}", "--build-arg", "BUILD_PACKAGES=", "--tag", image, *times]
        run([*buildah, "build", "--quiet", "--isolation", "chroot", "--pull-never", *arguments, context])
        run([*buildah, "push", "--quiet", image, push_to])
    finally:
        run([*buildah, "rm", "--all"])
        run([*buildah, "rmi", "--all", "--force"])


def cache_folder() -> Path:
    """Return the cache that the lab and the environment use, too."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path(os.environ.get("HOME", "/root")) / ".cache")
    return Path(os.environ.get("VMCLONE_CACHE") or Path(home) / "vmclone").absolute()
