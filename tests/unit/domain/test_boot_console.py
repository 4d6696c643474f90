"""What a console's last words say of a boot: each shape as people see it on their screens, and what is shown of it."""

from __future__ import annotations

import pytest

from vmclone_operator.domain.boot_console import (
    MAX_CHARACTERS,
    MAX_LINES,
    MAX_RAW_CHARACTERS,
    console_lines,
    overdue_boot,
    unfinished_boot,
)

GAVE_UP = {
    "the kernel finds no root": "[ 1.9] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
    "the end of a panic whose beginning scrolled away": (
        "[    2.1] ---[ end Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100 ]---"
    ),
    "systemd waits for a person": (
        "You are in emergency mode. After logging in, type journalctl -xb to view\r\nGive root password for maintenance"
    ),
    "systemd where nobody may log in": (
        "Cannot open access to console, the root account is locked.\nSee sulogin(8) man page for more details."
    ),
    "a file system of fstab": "\x1b[0;1;31m[FAILED]\x1b[0m Failed to mount \x1b[0;1;39mdata.mount\x1b[0m - /data.",
    "Debian's initramfs": "ALERT!  UUID=af does not exist.  Dropping to a shell!\n\n(initramfs) ",
    "only the prompt of an initramfs": "BusyBox v1.35.0 built-in shell (ash)\r\n\r\n(initramfs) \x1b[6n",
    "a root that was waited for": "Gave up waiting for root file system device.  Common problems:",
    "dracut": "Entering emergency mode. Exit the shell to continue.\nType journalctl\n\n\ndracut:/# ",
    "SeaBIOS with an empty disk": "Boot failed: not a bootable disk\r\n\r\nNo bootable device.",
    "UEFI": "BdsDxe: No bootable option or device was found.",
    "GRUB without its modules": "error: unknown filesystem.\r\nEntering rescue mode...\r\ngrub rescue> ",
    "GRUB without its menu": "GNU GRUB  version 2.06\r\n\r\n\x1b[?25hgrub> ",
    "a boot sector of syslinux": "Missing operating system.",
}


@pytest.mark.parametrize("console", GAVE_UP.values(), ids=GAVE_UP.keys())
def test_a_guest_that_gave_up_did_not_boot(console: str) -> None:
    verdict = overdue_boot(console, "dev-1")
    assert verdict.reason == "BootFailed"
    assert console_lines(console)[-1] in verdict.message


NOTHING_AGAINST_IT = {
    "no console": "",
    "a guest that waits for a login": "Debian GNU/Linux 12 dev ttyS0\n\ndev login: ",
    "a guest that came to a login all the same": "[FAILED] Failed to mount usb.mount - /mnt/usb.\n\ndev login: ",
    "a kernel that has just begun": "[    0.000000] Linux version 6.1.0",
    "a unit that is about mounts and panics": "[  OK  ] Started kdump.service - Kernel crash dump for panics.",
    "nothing that can be read": "\x1b[2J\x00\x07\ufffd\ufffd\u202e",
}


@pytest.mark.parametrize("console", NOTHING_AGAINST_IT.values(), ids=NOTHING_AGAINST_IT.keys())
def test_a_guest_that_says_nothing_against_it_may_have_booted_and_both_remedies_are_told(console: str) -> None:
    verdict = overdue_boot(console, "dev-1-4f1d00")
    assert verdict.reason == "GuestAgentMissing"
    assert "may not have booted" in verdict.message
    assert "virsh console dev-1-4f1d00" in verdict.message
    assert "qemu-guest-agent" in verdict.message


def test_what_a_guest_that_may_have_booted_writes_is_not_shown() -> None:
    assert "hunter2" not in overdue_boot("root's password is hunter2\ndev login: ", "dev-1").message


SHOWN = {
    "colours and cursors": ("\x1b[2J\x1b[01;01Ha\x1b[31mb\x1b[0mc", ("abc",)),
    "a title and a character set": ("\x1b]0;evil\x07a\x1b(Bb\x1b7", ("ab",)),
    "a string without an end": ("a\x1bPq#0;2", ("a",)),
    "control characters and marks of direction": ("a\x00\x08\x7f\x9bb\u202ec\u2028d\u200be", ("abcde",)),
    "lines that are written over": ("10 %\r20 %\r\n\r\ndone", ("10 %", "20 %", "done")),
    "tabs and rows of blanks": ("a\t b    c", ("a b c",)),
    "letters of all peoples": ("gestört \u6545\u969c", ("gestört \u6545\u969c",)),
}


@pytest.mark.parametrize(("console", "lines"), SHOWN.values(), ids=SHOWN.keys())
def test_people_are_shown_letters_only(console: str, lines: tuple[str, ...]) -> None:
    assert console_lines(console) == lines


def test_only_the_last_lines_are_shown() -> None:
    console = "\n".join([*(f"line {number}" for number in range(100)), "No bootable device."])
    told = overdue_boot(console, "dev-1").message.partition("ends with: ")[2].split(" | ")
    assert told == [*(f"line {number}" for number in range(91, 100)), "No bootable device."]
    assert len(told) == MAX_LINES


def test_the_telling_line_is_shown_also_when_others_follow_it() -> None:
    trace = [f"[ 2.1] ? function_{number}+0x1/0x2" for number in range(40)]
    told = overdue_boot("\n".join(["Kernel panic - not syncing: no init", *trace]), "dev-1").message
    told = told.partition("ends with: ")[2]
    assert told.startswith("Kernel panic - not syncing: no init | ")
    assert told.endswith(trace[-1])
    assert told.count(" | ") < MAX_LINES


@pytest.mark.parametrize("filling", ["x" * 10_000, "\n".join(["y" * 100] * 100)], ids=["one line", "many lines"])
def test_a_guest_that_writes_without_end_gets_little_room(filling: str) -> None:
    for console in (f"{filling}\n(initramfs) {filling[:3000]}", f"(initramfs) {filling[:3000]}"):
        told = overdue_boot(console, "dev-1")
        assert told.reason == "BootFailed"
        assert len(told.message.partition("ends with: ")[2].replace(" | ", "")) <= MAX_CHARACTERS
    assert len("".join(console_lines(filling))) <= MAX_RAW_CHARACTERS


def test_an_agent_that_answers_while_the_boot_hangs_is_not_called_missing() -> None:
    verdict = unfinished_boot("maintenance")
    assert verdict.reason == "BootFailed"
    assert "systemd says maintenance" in verdict.message
    assert "install" not in verdict.message
