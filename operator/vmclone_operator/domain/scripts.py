"""Reads the shell scripts that guests run, `guest_scripts/NAME.sh`."""

from __future__ import annotations

from importlib.resources import files


def script(*names: str) -> str:
    """Return the scripts of these names, one behind the other, as one."""
    folder = files(__package__).joinpath("guest_scripts")
    return "".join(folder.joinpath(f"{name}.sh").read_text(encoding="ascii") for name in names)
