"""Finds out whether a guest really runs under KVM here: a device node alone proves nothing.

Some machines have /dev/kvm and guests hang. The probe boots the guests' own kernel with
nothing but a serial console and looks for its first words.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vmclone_lab.errors import LabError
from vmclone_lab.processes import boot_id
from vmclone_lab.progress import step, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

DEVICE = Path("/dev/kvm")
PROBE_SECONDS = 10
FIRST_WORDS = b"Linux version"


def probe_argv(kernel: Path, console: Path) -> list[str]:
    """Return the QEMU command of the probe guest."""
    return [
        "qemu-system-x86_64",
        "-accel",
        "kvm",
        "-machine",
        "q35",
        "-cpu",
        "host",
        "-m",
        "256",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-serial",
        f"file:{console}",
        "-kernel",
        str(kernel),
        "-append",
        "console=ttyS0 earlyprintk=ttyS0 panic=-1",
    ]


def device_opens(device: Path = DEVICE) -> bool:
    """Tell whether the KVM device can be opened at all."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _boots(kernel: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        console = Path(folder) / "console"
        console.touch()
        guest = subprocess.Popen(
            probe_argv(kernel, console),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(
                "the KVM probe",
                lambda: FIRST_WORDS in console.read_bytes(),
                PROBE_SECONDS,
                alive=lambda: guest.poll() is None,
            )
        except LabError:
            return False
        finally:
            guest.kill()
            guest.wait()
    return True


def usable(
    kernel: Path,
    cache: Path,
    *,
    opens: Callable[[], bool] = device_opens,
    boots: Callable[[Path], bool] = _boots,
) -> bool:
    """Return the verdict for this boot of the machine; it is probed once and cached."""
    if not opens():
        return False
    key = hashlib.sha256(f"{boot_id()} {kernel}".encode()).hexdigest()[:12]
    verdict = cache / f"kvm-{key}"
    if not verdict.exists():
        for old in cache.glob("kvm-*"):
            old.unlink()
        with step("probe whether a guest boots under KVM"):
            answer = "yes" if boots(kernel) else "no"
        verdict.write_text(answer)
    return verdict.read_text() == "yes"
