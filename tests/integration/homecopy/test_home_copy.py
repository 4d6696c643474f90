"""A home between two real sshd, through the relay as its pod runs it."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace

import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.homes import age, ordinary_home, picture, wait_for_bytes, write
from tests.support.canaries import PASSES, WORD, secret_files

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.job import OnSecret, Transfer

pytestmark = pytest.mark.integration

both_transfers = pytest.mark.parametrize("transfer", list(Transfer))


@both_transfers
def test_ordinary_home_arrives_equal(copying: Copying, transfer: Transfer) -> None:
    ordinary_home(copying.source.home, files=1000)
    copying.source.own()
    copying.job = replace(copying.job, transfer=transfer)
    result = copying.run()
    assert result.reason == "Copied", result.receipt["message"]
    assert picture(copying.clone.home) == picture(copying.source.home)
    assert result.receipt["files"] == 1000 + 4


def test_no_secret_arrives_and_look_alikes_do(copying: Copying) -> None:
    secrets = secret_files()
    for path, (_, content) in secrets.items():
        write(copying.source.home / path, content)
    for path, content in PASSES.items():
        write(copying.source.home / path, content)
    os.link(copying.source.home / ".ssh/id_rsa", copying.source.home / "another name")
    copying.source.own()
    result = copying.run()
    arrived = {str(path.relative_to(copying.clone.home)) for path in copying.clone.home.rglob("*") if path.is_file()}
    assert len(secrets) >= 200
    assert arrived == set(PASSES)
    excluded = result.receipt["excluded"]
    assert excluded.keys() <= {*floor().rules["families"], "content"}
    assert {"content", "cloud", "ssh-keys"} <= excluded.keys()
    assert sum(excluded.values()) == len(secrets) + 1, "each is counted under one family, and so is the hard link"
    assert WORD not in str(result.progress) + str(result.receipt)


@pytest.mark.parametrize("hop", ["source", "clone"])
@both_transfers
def test_changed_host_key_stops_the_copy(copying: Copying, hop: str, transfer: Transfer) -> None:
    write(copying.source.home / "a", "a")
    copying.source.own()
    host = getattr(copying, hop)
    host.stop()
    host.new_host_key()
    host.start()
    copying.job = replace(copying.job, transfer=transfer)
    result = copying.run()
    assert (result.code, result.reason) == (10, "HostKeyMismatch"), result.receipt["message"]
    assert not list(copying.clone.home.iterdir())


def test_relay_that_was_killed_leaves_nothing_behind_on_the_source(copying: Copying) -> None:
    write(copying.source.home / "big", os.urandom(8 * 1024 * 1024))
    copying.source.own()
    copying.job = replace(copying.job, bandwidth_kib=1024)
    relay = copying.start()
    wait_for_bytes(copying.clone.home, 1024 * 1024)
    copying.kill(relay)
    deadline = time.monotonic() + 20
    while left := copying.source.folders_in_tmp():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_key_of_a_copy_gives_no_shell(copying: Copying) -> None:
    job, key = copying.job, copying.folder / "clone_key"
    write(copying.folder / "hosts", f"[{job.clone.address}]:{job.clone.port} {job.clone.host_keys[0]}\n")
    for words in ["", "id", "rsync --server --sender -lHtpRSe.LsfxCIvu . /etc/passwd", "rsync --server -e.L . . ; id"]:
        base = ["ssh", "-F", "none", "-i", str(key), "-o", f"UserKnownHostsFile={copying.folder}/hosts"]
        target = [*base, "-p", str(job.clone.port), f"{job.clone.user}@{job.clone.address}"]
        done = subprocess.run(
            [*target, words] if words else target, capture_output=True, text=True, check=False, input=""
        )
        assert (done.returncode, done.stdout) == (65, ""), words
        assert "vmclone: " in done.stderr


@both_transfers
def test_a_home_of_texts_travels_compressed_and_arrives_as_it_was(copying: Copying, transfer: Transfer) -> None:
    for number in range(200):
        write(copying.source.home / f"notes {number % 7}/{number}.txt", f"line of text number {number}\n" * 900)
    write(copying.source.home / "notes 1/pasted.txt", "line of text\n" * 900 + "ghp_" + "a1B2" * 9)
    age(copying.source.home)
    copying.source.own()
    copying.job = replace(copying.job, transfer=transfer)
    result = copying.run()
    assert (result.reason, result.receipt["excluded"]) == ("Copied", {"content": 1}), result.receipt
    assert 0 < result.receipt["sentBytes"] < result.receipt["bytes"] / 4
    (copying.source.home / "notes 1/pasted.txt").unlink()
    age(copying.source.home)
    assert picture(copying.clone.home) == picture(copying.source.home)


def test_home_larger_than_max_size_is_refused_before_the_copy(copying: Copying) -> None:
    write(copying.source.home / "a", b"x" * 5000)
    copying.source.own()
    copying.job = replace(copying.job, max_size_bytes=4999)
    result = copying.run()
    assert (result.code, result.reason, list(copying.clone.home.iterdir())) == (12, "TooLarge", [])


def test_secret_in_an_ordinary_file_can_fail_the_copy(copying: Copying) -> None:
    write(copying.source.home / "a", "ghp_" + "a1B2" * 9)
    copying.source.own()
    copying.job = replace(copying.job, on_secret=OnSecret.FAIL)
    result = copying.run()
    assert (result.code, result.reason, list(copying.clone.home.iterdir())) == (11, "SecretFound", [])
    assert "1 ordinary files hold secrets: a (GitHub token); " in result.receipt["message"]


def test_refresh_keeps_what_is_newer_on_the_clone_and_saves_what_it_overwrites(copying: Copying) -> None:
    source, clone = copying.source, copying.clone
    write(clone.home / "only here", "x")
    for name in ("mine", "theirs"):
        write(source.home / name, f"{name} of the source, longer")
        write(clone.home / name, f"{name} of the clone")
    os.utime(source.home / "mine", (1, 1))
    os.utime(clone.home / "theirs", (1, 1))
    for host in (source, clone):
        host.own()
    copying.job = replace(copying.job, refresh="20261121T140000Z")
    assert copying.run().reason == "Copied"
    assert (clone.home / "only here").read_text() == "x"
    assert (clone.home / "mine").read_text() == "mine of the clone"
    assert (clone.home / "theirs").read_text() == "theirs of the source, longer"
    assert (clone.home / ".vmclone-backup/20261121T140000Z/theirs").read_text() == "theirs of the clone"


def test_bandwidth_limit_is_kept(copying: Copying) -> None:
    write(copying.source.home / "a", os.urandom(3 * 1024 * 1024))
    copying.source.own()
    copying.job = replace(copying.job, bandwidth_kib=1024)
    started = time.monotonic()
    assert copying.run().reason == "Copied"
    assert time.monotonic() - started > 2.5


def test_clean_git_tree_stays_clean(copying: Copying) -> None:
    tree = copying.source.home / "project"
    files = {"a.py": "x", "credentials.json": "{}", ".env.example": "KEY=\n", "certs/ca.pem": PASSES["cacert.pem"]}
    for name, content in {**files, ".npmrc": "save-exact=true\n"}.items():
        write(tree / name, content)
    git = ["git", "-c", "safe.directory=*", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C"]
    commands = [["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"], ["branch", "prod.env"]]
    for command in commands:
        subprocess.run([*git, str(tree), *command], check=True)
    copying.source.own()
    assert copying.run().reason == "Copied"
    arrived = [*git, str(copying.clone.home / "project")]
    assert subprocess.check_output([*arrived, "status", "--porcelain"]) == b""
    assert b"prod.env" in subprocess.check_output([*arrived, "branch"])
