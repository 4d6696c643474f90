"""Packs a folder into an executable zip whose bytes depend on the files alone: two builds have one digest."""

from __future__ import annotations

import zipfile
from pathlib import Path

_SHEBANG = b"#!/usr/bin/env python3\n"
_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can hold."""
_EXECUTABLE = 0o755
_FILE_MODE = 0o100644 << 16
_NOT_NEEDED = {"__pycache__", "bin"}
_INSTALLER_NOTES = {"RECORD", "INSTALLER", "REQUESTED", "uv_cache.json", "direct_url.json"}


def pack(folder: Path, target: Path) -> None:
    """Write the program: every file of the folder, sorted, without times, compressed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        file.write(_SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(_files(folder)):
                entry = zipfile.ZipInfo(str(path.relative_to(folder)), _MOMENT)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = _FILE_MODE
                archive.writestr(entry, path.read_bytes())
    target.chmod(_EXECUTABLE)


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if _wanted(path.relative_to(folder))]


def _wanted(path: Path) -> bool:
    return not _NOT_NEEDED.intersection(path.parts) and path.name not in _INSTALLER_NOTES
