"""The command behind hack/images/build."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from vmclone_images import build, recipe
from vmclone_images.recipe import Recipe
from vmclone_lab.errors import LabError
from vmclone_lab.lab import Lab
from vmclone_lab.layout import Layout
from vmclone_lab.node import SOCKET


def main() -> int:
    """Build the images of this checkout, load them if asked, and print their names."""
    parser = argparse.ArgumentParser(prog="hack/images/build", description="Builds the images of this checkout.")
    parser.add_argument("--load", action="store_true", help="give the images to the lab's node")
    parser.add_argument("--context", type=Path, help="only write what the build of one image needs, here")
    parser.add_argument("image", nargs="*", help=f"{' or '.join(recipe.ALL)}; default: both")
    given = parser.parse_args()
    named = given.image or [*recipe.ALL]
    if unknown := [name for name in named if name not in recipe.ALL]:
        parser.error(f"there is no image {unknown[0]!r}; write {' or '.join(recipe.ALL)}")
    if given.context and (len(named) != 1 or given.context.exists()):
        parser.error("--context needs one image's name and a folder that does not exist yet")
    try:
        for name in named:
            _make(recipe.ALL[name], given.context, load=given.load)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _make(made: Recipe, context: Path | None, *, load: bool) -> None:
    if context:
        build.write_context(context, made, build.cache_folder())
        print(context)
        return
    image = made.image
    archive = build.archive(build.cache_folder(), made, image)
    if load:
        into_lab(Lab(Layout.from_environment(os.environ)), image, str(archive))
    print(image)


def into_lab(lab: Lab, image: str, archive: str) -> None:
    """Import the image unless the node has it."""
    images = ["ctr", "--address", SOCKET, "--namespace", "k8s.io", "images"]
    if image not in lab.run_inside([*images, "list", "--quiet"]).split():
        lab.run_inside([*images, "import", archive])


if __name__ == "__main__":
    sys.exit(main())
