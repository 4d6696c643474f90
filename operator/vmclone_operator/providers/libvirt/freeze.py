"""Freezing a running source: quiesce, start QEMU's own backup into our volumes, thaw; the guest goes on.

Why a watchdog inside the guest: this process may be killed between freeze and thaw, and a frozen source
hangs. The watchdog is armed first and thaws by itself, so no kill point leaves a guest frozen for over
5 seconds. When it was faster than we, the point in time was not quiet, and is thrown away.
"""

from __future__ import annotations

import contextlib
import time
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.errors import CloneError, QuiesceFailed, RetryLater
from vmclone_operator.providers.libvirt import domain_xml, guest, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vmclone_operator.domain.backend import Fence

FREEZE_SECONDS = 2
_INSTALL = (
    "install qemu-guest-agent (with guest-exec and guest-fsfreeze allowed) in the source, "
    "or set disk.consistency: CrashConsistent"
)
# Everything the watchdog needs is started before the freeze and it writes nothing: a frozen disk takes no
# writes. It repeats, because an agent that was slow may freeze after our time limit.
_WATCHDOG = """\
set -f
sleep 3
turn=0
while [ "$turn" -lt 8 ]; do
  while read -r line; do
    case $line in
      *" - "*" /dev/"*) set -- $line; fsfreeze -u "$5" 2>/dev/null ;;
    esac
  done </proc/self/mountinfo
  sleep 2
  turn=$((turn + 1))
done
"""
# Warms the page cache with what the watchdog will run, and makes the freeze quick: the dirty pages go now.
_PREPARE = GuestCommand(
    name="prepare-freeze",
    script="command -v fsfreeze >/dev/null || exit 3; fsfreeze --version >/dev/null 2>&1; sync",
)
_KILL = 'read -r pid && kill "$pid"'
BACKUP_FLAGS = libvirt.VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL


def backup_xml(source: ET.Element, files: Mapping[str, str]) -> str:
    """Return the push backup of exactly these targets; every other disk is named and left out."""
    backup = ET.Element("domainbackup", mode="push")
    listed = ET.SubElement(backup, "disks")
    for disk in domain_xml.disks(source):
        wanted = disk.target in files
        entry = ET.SubElement(listed, "disk", name=disk.target, backup="yes" if wanted else "no")
        if wanted:
            entry.set("type", "file")
            ET.SubElement(entry, "driver", type="qcow2")
            ET.SubElement(entry, "target", file=files[disk.target])
    return ET.tostring(backup, encoding="unicode")


def running_backup(domain: libvirt.virDomain) -> frozenset[str] | None:
    """Return the files that a running backup of this VM writes, or None when none runs."""
    text = translate.found(
        domain.backupGetXMLDesc,
        libvirt.VIR_ERR_NO_DOMAIN_BACKUP,
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_OPERATION_INVALID,
    )
    if text is None:
        return None
    targets = domain_xml.parsed(text).findall("disks/disk/target")
    return frozenset(target.get("file", "") for target in targets)


def other_job(domain: libvirt.virDomain, source: ET.Element) -> str:
    """Return what else works on a running VM, in words; empty when nothing does."""
    if domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
        return "another job (a backup, a migration or a snapshot) is running"
    for disk in domain_xml.disks(source):
        if not disk.empty and domain.blockJobInfo(disk.target):
            return f"a block job is running on disk {disk.target}"
    return ""


class Quiesce:
    """One attempt to hold a guest's file systems still while the point in time is taken."""

    def __init__(self, domain: libvirt.virDomain, fence: Fence, now: Callable[[], float] = time.monotonic) -> None:
        self._domain = domain
        self._fence = fence
        self._now = now

    def is_frozen(self) -> bool:
        """Return whether somebody holds the guest frozen already."""
        try:
            return guest.is_frozen(self._domain)
        except libvirt.libvirtError as error:
            raise self._failure(error) from error

    def around(self, take: Callable[[], None], undo: Callable[[], None]) -> None:
        """Freeze, take the point in time and thaw; raises QuiesceFailed when it cannot be done safely."""
        watchdog = self._arm()
        frozen = 0
        try:
            frozen = self._freeze()
            take()
        finally:
            thawed = self._thaw(watchdog)
        if thawed < frozen:
            undo()
            raise RetryLater("the guest's file systems were thawed before the point in time was taken")

    def _arm(self) -> int:
        try:
            prepared = guest.run(self._domain, _PREPARE)
            if prepared.exit_code != 0:
                raise QuiesceFailed("the source has no fsfreeze command (package util-linux): " + _INSTALL)
            return guest.start_script(self._domain, _WATCHDOG, output=False)
        except libvirt.libvirtError as error:
            raise self._failure(error) from error

    def _freeze(self) -> int:
        self._fence()
        try:
            count = int(guest.ask(self._domain, "guest-fsfreeze-freeze", seconds=FREEZE_SECONDS))
        except libvirt.libvirtError as error:
            raise self._failure(error) from error
        if count == 0:
            raise QuiesceFailed("the guest agent froze no file system: " + _INSTALL)
        return count

    def _thaw(self, watchdog: int) -> int:
        """Thaw; the watchdog is sent home only when that is certain, and else does it."""
        try:
            count = int(guest.ask(self._domain, "guest-fsfreeze-thaw"))
        except libvirt.libvirtError:
            return 0
        with contextlib.suppress(libvirt.libvirtError):  # left alone it thaws what is not frozen, and ends
            guest.start_script(self._domain, _KILL, stdin=f"{watchdog}\n", output=False)
        return count

    def _failure(self, error: libvirt.libvirtError) -> CloneError:
        if translate.is_connection_loss(error):
            return translate.translated(error)
        return QuiesceFailed(f"{translate.plain(error.get_error_message() or '')}: {_INSTALL}")


def require_agent(source: ET.Element) -> None:
    """Raise QuiesceFailed unless the running guest's agent is on its channel."""
    if not domain_xml.agent_connected(source):
        raise QuiesceFailed("the source's guest agent does not answer: " + _INSTALL)


def percent(domain: libvirt.virDomain) -> int:
    """Return how much of the running backup is written; never 100 before the end."""
    stats = domain.jobStats()
    total = int(stats.get("disk_total", 0))
    return min(99, int(stats.get("disk_processed", 0)) * 100 // total) if total else 0


def last_backup_succeeded(domain: libvirt.virDomain) -> bool:
    """Return whether the last job of this running VM was a backup that ended well."""
    flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
    stats = translate.found(lambda: domain.jobStats(flags), libvirt.VIR_ERR_OPERATION_INVALID)
    if not stats:
        return False
    return stats.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP and bool(stats.get("success"))
