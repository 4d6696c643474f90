"""The command behind hack/images/build."""

from __future__ import annotations

import argparse
import os
import sys

from vmclone_images import build, recipe
from vmclone_lab.errors import LabError
from vmclone_lab.lab import Lab
from vmclone_lab.layout import Layout
from vmclone_lab.node import SOCKET


def main() -> int:
    """Build the image of this checkout, load it if asked, and print its name."""
    parser = argparse.ArgumentParser(prog="hack/images/build", description="Builds the operator image.")
    parser.add_argument("--load", action="store_true", help="give the image to the lab's node")
    load = parser.parse_args().load
    image = recipe.image()
    try:
        archive = build.archive(build.cache_folder(), image)
        if load:
            into_lab(Lab(Layout.from_environment(os.environ)), image, str(archive))
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(image)
    return 0


def into_lab(lab: Lab, image: str, archive: str) -> None:
    """Import the image unless the node has it."""
    images = ["ctr", "--address", SOCKET, "--namespace", "k8s.io", "images"]
    if image not in lab.run_inside([*images, "list", "--quiet"]).split():
        lab.run_inside([*images, "import", archive])


if __name__ == "__main__":
    sys.exit(main())
