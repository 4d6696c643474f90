"""The command line: parses words, calls one function, prints its result."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from vmclone_lab import components, gotools, guestimage, images, promtool, sources, status, teardown
from vmclone_lab.errors import LabError
from vmclone_lab.lab import Lab
from vmclone_lab.layout import Layout
from vmclone_lab.progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(prog="hack/lab", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the lab up; go on where an earlier run ended")
    up.add_argument("--only", default=",".join(components.ALL), help="parts, comma separated")
    up.add_argument("--kubeconfig", default="", help="use this cluster instead of building one")
    commands.add_parser("down", help="take everything away but the cache")
    show = commands.add_parser("status", help="what runs and where it is")
    show.add_argument("--json", action="store_true")
    commands.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    execute = commands.add_parser("exec", help="run a command inside the lab")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD ...")
    build = commands.add_parser("build", help="build into the cache and print the paths")
    names = [*gotools.TOOLS, promtool.NAME, *(f"guest-{profile}" for profile in guestimage.PROFILES)]
    build.add_argument("names", nargs="+", choices=names)
    source = commands.add_parser("source", help="make a real source VM and print it as JSON")
    source.add_argument("name")
    source.add_argument("--off", action="store_true", help="never start it")
    source.add_argument("--boot-once", action="store_true", help="first boot, then shut it down")
    source.add_argument("--disk-mib", type=int, default=sources.DEFAULT_DISK_MIB)
    source.add_argument("--memory-mib", type=int, default=sources.DEFAULT_MEMORY_MIB)
    source.add_argument("--profile", choices=guestimage.PROFILES, default="slim")
    image = commands.add_parser("image", help="put a golden image into the pool and print it as JSON")
    image.add_argument("name")
    image.add_argument("--profile", choices=guestimage.PROFILES, default="slim")
    return parser


def _up(lab: Lab, options: argparse.Namespace) -> None:
    start = time.monotonic()
    parts = components.resolve(part for part in options.only.split(",") if part)
    if options.kubeconfig:
        parts = tuple(p for p in parts if p not in (components.CONTROL_PLANE, components.NODE))
    with lab.locked():
        if options.kubeconfig:
            lab.record.external_kubeconfig = os.path.abspath(options.kubeconfig)  # noqa: PTH100
        components.up(lab, parts)
    say(f"up: {', '.join(parts)} in {time.monotonic() - start:.1f} s")


def _exec(lab: Lab, words: list[str]) -> None:
    argv = words[1:] if words[:1] == ["--"] else words
    if not argv:
        raise LabError("give a command: hack/lab exec -- CMD ...")
    entry = lab.entry(os.getcwd())  # noqa: PTH109
    os.execvpe(entry[0], [*entry, *argv], lab.environment())  # noqa: S606 - the pid must stay


def _build(lab: Lab, names: list[str]) -> None:
    for name in names:
        if name in gotools.TOOLS:
            tool = gotools.TOOLS[name]
            folder = gotools.build(tool, lab.paths.cache)
            paths = [folder / command for command in sorted(tool.commands)]
        elif name == promtool.NAME:
            paths = [promtool.fetch(lab.paths.cache)]
        else:
            paths = [guestimage.build(name.removeprefix("guest-"), lab.paths.cache)]
        sys.stdout.write("".join(f"{path}\n" for path in paths))
    if lab.paths.bin.is_dir():
        components.link_commands(lab)


def _source(lab: Lab, options: argparse.Namespace) -> None:
    wish = sources.SourceWish(
        name=options.name,
        profile=options.profile,
        disk_mib=options.disk_mib,
        memory_mib=options.memory_mib,
        off=options.off,
        boot_once=options.boot_once,
    )
    with lab.locked():
        sources.define(lab, wish)
    result = sources.bring(lab, wish)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def _image(lab: Lab, options: argparse.Namespace) -> None:
    with lab.locked():
        result = images.offer(lab, options.name, options.profile)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def run_command(lab: Lab, options: argparse.Namespace) -> None:
    """Carry out one sub-command."""
    if options.command == "up":
        _up(lab, options)
    elif options.command == "down":
        with lab.locked():
            teardown.down(lab)
    elif options.command == "status":
        found = status.collect(lab)
        text = json.dumps(found, indent=2) if options.json else status.table(found)
        sys.stdout.write(text + "\n")
    elif options.command == "kubeconfig":
        sys.stdout.write(f"{lab.record.external_kubeconfig or lab.paths.kubeconfig}\n")
    elif options.command == "exec":
        _exec(lab, options.argv)
    elif options.command == "build":
        _build(lab, options.names)
    elif options.command == "image":
        _image(lab, options)
    else:
        _source(lab, options)


def main(arguments: Sequence[str]) -> int:
    """Run the lab command and return its exit status."""
    options = build_parser().parse_args(arguments)
    if os.geteuid() != 0:
        say("the lab needs root: it makes namespaces, mounts and bridges")
        return 1
    try:
        run_command(Lab(Layout.from_environment(os.environ)), options)
    except LabError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on")
        return 130
    return 0
