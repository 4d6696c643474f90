"""A scrub takes every canary off a source's disk, proves it, and leaves what people work with as it was."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from tests.support import source_disk
from tests.support.canaries import CONTENTS, WORD
from tests.support.source_disk import holding, lost_or_changed, request, scrub

from vmclone_operator.domain import guest
from vmclone_operator.domain.guest_parts import in_parts
from vmclone_operator.homecopy import clone
from vmclone_operator.homecopy.clone import erase
from vmclone_operator.homecopy.clone.places import sections
from vmclone_operator.homecopy.clone.walk import Mounts
from vmclone_operator.homecopy.scrub import scrub_program

OWNERS = request(paths=source_disk.OWNERS_PATHS)


def test_every_canary_goes_and_what_people_work_with_stays(tmp_path: Path) -> None:
    canaries = source_disk.fill(tmp_path, source_disk.HOMES)
    answer = scrub(tmp_path, OWNERS)
    assert len(canaries) >= 1000
    assert (answer["scrub_state"], answer["scrub_left"], answer["scrub_engine"]) == ("done", "0", "python"), answer
    assert int(answer["scrub_files"]) >= len(canaries)
    assert holding(tmp_path, WORD) == []
    assert [path for path in canaries if os.path.lexists(tmp_path / path)] == []
    assert lost_or_changed(tmp_path, source_disk.HOMES) == []


def test_a_repeat_finds_nothing_more(tmp_path: Path) -> None:
    source_disk.fill(tmp_path, every=20)
    scrub(tmp_path, OWNERS)
    assert scrub(tmp_path, OWNERS)["scrub_files"] == "0"
    assert lost_or_changed(tmp_path) == []


def test_what_a_killed_run_overwrote_goes_with_the_next(tmp_path: Path) -> None:
    source_disk.fill(tmp_path, every=20)
    half = tmp_path / "home/dev/notes/plain 0.txt"
    half.write_bytes(erase.MARK + bytes(half.stat().st_size - len(erase.MARK)))
    assert scrub(tmp_path, OWNERS)["scrub_state"] == "done"
    assert not half.exists()


def test_passwords_are_taken_and_nobody_is_shut_out_with_a_key(tmp_path: Path) -> None:
    source_disk.fill(tmp_path, every=20)
    (tmp_path / "etc/shadow").chmod(0o640)
    scrub(tmp_path, OWNERS)
    shadow = tmp_path / "etc/shadow"
    assert shadow.read_text() == source_disk.LOCKED
    assert shadow.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "etc/passwd").read_text() == source_disk.PASSWD


def test_the_owners_exceptions_stay_but_never_keys_that_let_people_in(tmp_path: Path) -> None:
    source_disk.fill(tmp_path, every=20)
    scrub(tmp_path, request(allow=[".ssh/", ".ssh/**", ".kube/config"]))
    ssh = tmp_path / "home/dev/.ssh"
    assert (ssh / "known_hosts").exists()
    assert (tmp_path / "home/dev/.kube/config").exists()
    assert not (ssh / "authorized_keys").exists()


def test_every_name_of_a_file_goes_and_a_link_never_leads_out(tmp_path: Path) -> None:
    source_disk.fill(tmp_path, every=20)
    home, outside = tmp_path / "home/dev", tmp_path / "usr/share/secrets.txt"
    (home / "another name").hardlink_to(home / ".netrc")
    (home / ".aws-link").symlink_to(outside.parent)
    (home / ".gnupg/away").symlink_to(outside)
    assert scrub(tmp_path, OWNERS)["scrub_state"] == "done"
    assert not (home / "another name").exists()
    assert (home / ".aws-link").is_symlink()
    assert outside.read_text() == source_disk.STAYS["usr/share/secrets.txt"]


def test_a_git_work_tree_stays_clean(tmp_path: Path) -> None:
    source_disk.fill(tmp_path, every=20)
    work = tmp_path / "home/dev/src/project"
    work.mkdir(parents=True)
    (work / ".env").write_text("PORT=80\n")
    (work / "secrets.py").write_text("def get(): ...\n")
    (work / "tests/.ssh").mkdir(parents=True)
    (work / "tests/.ssh/known_hosts").write_text("host ssh-ed25519 AAAA\n")
    (work / "tests/ssh_host_rsa_key").write_text(CONTENTS["an RSA key"])
    git = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    (work / "untracked.env").write_text(WORD)
    (work / "tests/.ssh/id_ed25519").write_text(WORD)
    scrub(tmp_path, OWNERS)
    state = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    assert state == ""
    assert not (work / "tests/.ssh/id_ed25519").exists()
    assert subprocess.run([*git, "fsck"], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("store", [".password-store", ".local/share/gopass", ".ssh", ".aws"])
def test_a_store_of_secrets_that_is_a_git_work_tree_goes(store: str, tmp_path: Path) -> None:
    source_disk.fill(tmp_path, every=20)
    work = tmp_path / "home/dev" / store
    (work / "mail").mkdir(parents=True, exist_ok=True)
    (work / "mail/work.gpg").write_text(WORD)
    git = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    assert scrub(tmp_path, OWNERS)["scrub_left"] == "0"
    assert not (work / "mail/work.gpg").exists()
    assert holding(tmp_path, WORD) == []


def test_what_is_taken_by_name_goes_from_folders_that_the_filter_keeps_back_too(tmp_path: Path) -> None:
    source_disk.fill(tmp_path, every=20)
    work = tmp_path / "home/dev/src/project"
    stays = {"tests/.aws/config", "tests/.azure/config"}
    goes = {"tests/.aws/x.runner", "tests/.aws/private/y", "tests/.aws/private/deep/er/y", "private/.aws/y"}
    for name in stays | goes:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("x")
    git = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    scrub(tmp_path, source_disk.with_names(request(allow=["tests/.aws/**"]), "*.runner", "private/"))
    left = {str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()}
    assert {path for path in left if not path.startswith(".git/")} == stays


@pytest.mark.parametrize(
    ("mount", "unverified"),
    [
        pytest.param("/home ext4", [], id="overwritten in place"),
        pytest.param("/home btrfs", ["btrfs"], id="copy-on-write"),
        pytest.param("/home/dev nfs4", ["nfs4"], id="somebody else's disk: not touched, and said so"),
        pytest.param("/home/dev/mnt fuse.sshfs", ["fuse.sshfs"], id="shared folder in a home"),
    ],
)
def test_file_systems_that_prove_nothing_are_named(mount: str, unverified: list[str]) -> None:
    path, kind = mount.split()
    mounts = Mounts(f"1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 8:2 / {path} rw - {kind} /dev/vdb rw\n".encode())
    mounts.closed_above(b"/home/dev/x")
    mounts.closed(b"/home/dev/mnt")
    assert mounts.unverified() == unverified


def test_without_python_names_and_key_shapes_go_all_the_same(tmp_path: Path) -> None:
    canaries = source_disk.fill(tmp_path, every=10)
    answer = source_disk.scrub_without_python(tmp_path, OWNERS)
    assert (answer["scrub_state"], answer["scrub_engine"], answer["scrub_left"]) == ("done", "posix", "0"), answer
    assert [path for path in canaries if os.path.lexists(tmp_path / path)] == []
    assert (tmp_path / "etc/shadow").read_text() == source_disk.LOCKED
    assert lost_or_changed(tmp_path) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An ext4 file system in a file, mounted."""
    image, mounted = tmp_path / "disk.img", tmp_path / "disk"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets us mount no file as a disk")
    try:
        yield image, mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=False)


@pytest.mark.skipif(not shutil.which("mke2fs"), reason="no mke2fs")
def test_the_raw_disk_holds_nothing_of_it_even_without_discards(disk: tuple[Path, Path]) -> None:
    image, mounted = disk
    source_disk.fill(mounted, every=10)
    os.sync()
    assert WORD.encode() in image.read_bytes()
    scrub(mounted, OWNERS)
    subprocess.run(["umount", str(mounted)], check=True)
    assert WORD.encode() not in image.read_bytes()


def test_what_travels_runs_on_python_3_6() -> None:
    ast.parse(scrub_program().program, feature_version=(3, 6))
    for name, text in ast.literal_eval(
        re.findall(r"^for name, text in (.*):$", scrub_program().program, re.MULTILINE)[0]
    ):
        assert ast.parse(text, name, feature_version=(3, 6)).body
        assert '"""' not in text


def test_the_program_runs_on_python_3_6() -> None:
    for module in files(clone.__name__).iterdir():
        if module.name.endswith(".py"):
            ast.parse(module.read_text(), feature_version=(3, 6))


def test_the_program_is_small_enough_for_every_guest_channel() -> None:
    """Azure takes 256 KiB of a managed run command; an older Proxmox VE host takes 64 KiB, so it is sent parts."""
    command = guest.identity_command(token="t", hostname="h", user="u", authorized_keys=(), scrub=OWNERS)
    assert len(json.dumps({"script": command.script, "parameters": command.stdin})) <= 192 * 1024
    parts = in_parts(command, 64 * 1024)
    assert max(len(json.dumps({"command": part.script, "input-data": part.stdin})) for part in parts) <= 64 * 1024
    assert scrub_program() is scrub_program()


def test_the_list_of_places_is_one_that_every_guest_can_follow() -> None:
    found = sections(scrub_program().places)
    paths = [path for section in found if section.kind != "within" for path in section.patterns]
    assert len(paths) >= 1000
    assert [path for path in paths if not re.fullmatch(r"(/[][!\w.*+@-]+)+", path)] == []
    assert [unit for unit in scrub_program().stop_units if not re.fullmatch(r"[\w.*@-]+\.service", unit)] == []
