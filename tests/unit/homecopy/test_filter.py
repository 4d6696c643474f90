"""The floor keeps every family back, lets look-alikes pass, and nobody but the owner can open it."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.support.canaries import CONTENTS, NAMES, PASSES, secret_files

from vmclone_operator.homecopy.bundle import source_program
from vmclone_operator.homecopy.filters import PatternRefused, checked_allow, checked_patterns, floor
from vmclone_operator.homecopy.source import (
    armour,
    copies,
    git_index,
    git_store,
    judge,
    patterns,
    program,
    published,
    scan,
    screen,
    send,
    settings,
    signatures,
)
from vmclone_operator.homecopy.source.judge import Judge
from vmclone_operator.homecopy.source.patterns import Patterns
from vmclone_operator.homecopy.source.scan import PathRefused, Scan


def judge_with(*, excludes: tuple[str, ...] = (), allow: tuple[str, ...] = (), tracked: bool = False) -> Judge:
    return Judge(floor().rules, list(excludes), list(allow), lambda _: tracked)


def scanned(
    home: Path, *, paths: tuple[str, ...] = (".",), **lists: tuple[str, ...]
) -> tuple[set[str], dict[str, Any]]:
    parameters = {"rules": floor().rules, "excludes": [], "allow": [], **lists}
    output = io.BytesIO()
    scan_of_home = Scan(os.fsencode(home), parameters, output)
    scan_of_home.run(list(paths))
    return {os.fsdecode(name)[2:] for name in output.getvalue().split(b"\0") if name}, scan_of_home.summary()


def fill(home: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)


def test_every_canary_stays_and_every_look_alike_passes(tmp_path: Path) -> None:
    fill(tmp_path, {name: content for name, (_, content) in secret_files().items()} | PASSES)
    listed, summary = scanned(tmp_path)
    assert {name for name in listed if (tmp_path / name).is_file()} == set(PASSES)
    assert sum(summary["excluded"].values()) == len(secret_files())


def test_our_own_canaries_name_families_of_the_floor() -> None:
    assert set(NAMES) <= set(floor().rules["families"])


@pytest.mark.parametrize("document", floor().rules["signatures"], ids=lambda document: document["name"])
def test_every_key_shape_has_a_canary_and_an_anchor_in_it(document: dict[str, Any]) -> None:
    found = [match for text in CONTENTS.values() for match in re.finditer(document["pattern"], text)]
    assert found
    for match in found:
        assert any(anchor in match[0] for anchor in document["anchors"])


def test_names_of_several_families_are_the_same_by_one_look_or_by_all() -> None:
    patterns = ["id_rsa*", ".netrc", "a\\*b", "*.pem", "Ünï", ".vscode/**", "[ab]c", "/top"]
    names = (".NETRC", "x/id_rsa.old", "a*b", "axb", "a.PEM", "Ünï", "ünï", "q/.vscode/x/y", "bc", "top", "sub/top")
    for name in names:
        one_by_one = any(Patterns([pattern]).match(name.encode()) for pattern in patterns)
        assert Patterns(patterns).match(name.encode()) is one_by_one
        assert Patterns(patterns).may_match(name.encode()) >= one_by_one


@pytest.mark.parametrize("what", CONTENTS)
def test_content_keeps_back(what: str) -> None:
    assert judge_with().file(b"notes.txt", CONTENTS[what].encode).family == "content"
    marked = b"\xff\xfe" + CONTENTS[what].encode("utf-16-le")
    assert judge_with().file(b"notes.txt", lambda: marked).family == "content"


@pytest.mark.parametrize(
    ("name", "content", "tracked", "family"),
    [
        ("ca.pem", PASSES["ca.crt"], False, None),
        ("ca.pem", PASSES["ca.crt"] + CONTENTS["an RSA key"], False, "ssh-keys"),
        ("ca.pem", "no block at all", False, "ssh-keys"),
        ("secrets.yaml", "a: b", True, None),
        ("secrets.yaml", "a: b", False, "env"),
        ("secrets.yaml", CONTENTS["a GitLab token"], True, None),
        ("secrets.yaml", CONTENTS["a GitLab token"], False, "env"),
        ("tests/id_rsa", CONTENTS["an RSA key"], True, None),
        (".ssh/config", "Host a", True, "ssh-keys"),
    ],
)
def test_doubtful_names_are_decided_by_content(name: str, content: str, tracked: bool, family: str | None) -> None:
    above = judge_with().by_name(name.encode().split(b"/")[0], is_directory=True) if "/" in name else None
    assert (above or judge_with(tracked=tracked).file(name.encode(), content.encode).family) == family


KEY = f"-----BEGIN {'PRIVATE'} KEY-----\n"
SLOW: dict[str, str] = {
    "one header many times": KEY + "Version: " * 40,
    "one header to the end": KEY + "Version: " * 100_000,
    "many lines of headers": KEY + "Version: 1\n" * 90_000,
    "blanks": KEY + " \n" * 400_000,
    "escaped lines": KEY + "\\n" * 400_000,
    "beginnings": KEY * 30_000,
    "places and no host": "://a:" * 200_000,
    "certificates that do not end": "-----BEGIN CERTIFICATE-----\n" * 30_000,
    "words that mean a secret": PASSES["ca.crt"] + "pass" * 250_000,
    "signs": PASSES["ca.crt"] + "-" * 900_000 + "!",
    "names": PASSES["ca.crt"] + "a.b-" * 225_000,
    "names without values": PASSES["ca.crt"] + "a:" * 400_000 + "!",
}


@pytest.mark.parametrize("name", ["a.txt", "a.pem", "a.env"])
@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_f2_no_text_takes_longer_than_its_length_says(text: str, name: str) -> None:
    started = time.process_time()
    judge_with().file(name.encode(), text.encode)
    assert time.process_time() - started < 5


def test_a_doubtful_file_too_large_to_be_read_stays() -> None:
    assert judge_with(tracked=True).file(b"big.pem", lambda: None).family == "ssh-keys"


REFUSED = [
    "+ .ssh/",
    "- x",
    "!",
    ". /etc/x",
    ": .rules",
    "merge x",
    "dir-merge x",
    "include .ssh/",
    "a\n+ .ssh/",
    "",
    "+,/ x",
    "a\0b",
]


@pytest.mark.parametrize("pattern", REFUSED)
def test_filter_syntax_is_refused(pattern: str) -> None:
    with pytest.raises(PatternRefused):
        checked_patterns([pattern])


@pytest.mark.parametrize(
    "pattern", [*REFUSED, "+ .ssh/***", "+.ssh/", "!.ssh/", "[+] .ssh/", "*", "**", "[", "\\", "/"]
)
def test_additional_exclusions_never_let_more_pass(pattern: str, tmp_path: Path) -> None:
    fill(tmp_path, {".ssh/id_rsa": "x", ".env": "x", "a": "x"})
    assert scanned(tmp_path, excludes=(pattern,))[0] <= scanned(tmp_path)[0]


def test_plain_patterns_are_taken() -> None:
    plain = (".cache/", "*.iso", "/Downloads", "a b", "node_modules/", "[+] odd", "**/target/", ".")
    assert checked_patterns(plain) == plain


@pytest.mark.parametrize("pattern", ["*", "**", "/", "/**", "*/*", ".*", "?*", "[!a]*"])
def test_no_exception_opens_the_whole_floor(pattern: str) -> None:
    with pytest.raises(PatternRefused):
        checked_allow([pattern])


def test_the_owners_exception_passes_and_is_recorded_but_not_against_an_exclusion(tmp_path: Path) -> None:
    fill(tmp_path, {".aws/config": "x", ".aws/credentials": "x", ".npmrc": "x", "a.env": "x"})
    listed, summary = scanned(tmp_path, allow=("/.aws/config", ".npmrc", "a.env"), excludes=("a.env",))
    assert listed == {".aws/config", ".npmrc"}
    assert sorted(summary["allowed"]) == [".aws/config", ".npmrc"]
    assert summary["excluded"] == {"cloud": 1, "extra": 1}


def test_a_second_name_of_a_secret_file_stays_too(tmp_path: Path) -> None:
    fill(tmp_path, {".ssh/id_rsa": "odd bytes", "a/plain": "x"})
    (tmp_path / "a/innocent").hardlink_to(tmp_path / ".ssh/id_rsa")
    assert scanned(tmp_path)[0] == {"a", "a/plain"}


@pytest.mark.parametrize("path", ["..", "/etc", "a/../..", "link", "link/x", "missing"])
def test_paths_never_lead_out_of_the_home(path: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(PathRefused):
        scanned(tmp_path, paths=(path,))


def test_paths_do_not_reach_into_what_the_floor_holds(tmp_path: Path) -> None:
    fill(tmp_path, {".aws/sub/config": "x", "src/a": "x"})
    assert scanned(tmp_path, paths=(".aws/sub", "src"))[0] == {"src", "src/a"}


@pytest.mark.parametrize(
    ("pattern", "path", "directory", "matches"),
    [
        ("*.iso", "a/b.iso", False, True),
        ("/a", "a", False, True),
        ("/a", "b/a", False, False),
        ("a/", "b/a", True, True),
        ("a/", "b/a", False, False),
        ("a/*", "a/b", False, True),
        ("a/*", "a/b/c", False, False),
        ("a/**", "a/b/c", False, True),
        ("a/***", "a", True, True),
        ("a/***", "a/b/c", False, True),
        ("[ab]c", "bc", False, True),
        ("[!ab]c", "bc", False, False),
        ("a\\*", "a*", False, True),
        ("a\\*", "ab", False, False),
        ("a.c", "abc", False, False),
        ("x", "x\n", False, False),
    ],
)
def test_patterns_mean_what_they_mean_to_rsync(pattern: str, path: str, directory: bool, matches: bool) -> None:
    assert Patterns([pattern]).match(path.encode(), is_directory=directory) is matches


def test_what_a_disk_clone_scrubs_by_name_a_clean_clone_never_gets() -> None:
    listed = json.loads(files("vmclone_operator.homecopy").joinpath("scrub_list.json").read_text(encoding="utf-8"))
    never = {name for family in floor().rules["families"].values() for name in family.get("never", ())}
    assert set(listed["homeNames"]) <= never


def test_every_group_of_places_names_its_source() -> None:
    assert all(family["source"] for family in floor().rules["families"].values())


COPIES = [
    ".netrc~",
    ".netrc.bak",
    ".netrc.bak.1",
    ".netrc.old",
    ".netrc.orig",
    ".netrc.swp",
    ".netrc.2024-05-01",
    ".netrc.dpkg-old",
    "#.netrc#",
    ".#.netrc",
    "dot_netrc",
    "private_dot_netrc",
    "dot-netrc",
    "old_.netrc",
    "sub/.netrc-prod",
    ".clouds.yaml.swp",
    "clouds-prod.yaml",
    "clouds.staging.yaml",
    "clouds.yaml.rpmsave",
    "a.pem.bak",
    "a.pem~",
    "id_rsa.bak",
    ".env~",
    ".env.old",
    "wp-config.php~",
    "wp-config-live.php",
    "secrets-prod.yaml",
    "server.key.old",
    ".docker/config.json.bak",
    "dot_docker/private_config.json",
    ".docker/config-work.json",
    "copy of .netrc",
    "clouds.yaml (2)",
    "a.pem copy",
]
NO_COPIES = [
    "README.md~",
    "notes.bak",
    ".bashrc.old",
    "main.py~",
    "secrets.py~",
    "id_rsa.pub~",
    "dot_bashrc",
    "old-notes.txt",
    "prod.yaml",
    "#draft#",
]


@pytest.mark.parametrize("name", COPIES)
def test_what_backups_and_editors_leave_of_a_secret_stays_behind(name: str) -> None:
    assert judge_with().file(name.encode(), lambda: b"x").family


@pytest.mark.parametrize("name", NO_COPIES)
def test_what_they_leave_of_any_other_file_passes(name: str) -> None:
    assert judge_with().file(name.encode(), lambda: b"x").family is None


@pytest.mark.parametrize("name", [".ssh.bak", ".ssh-old", "private_dot_ssh", "dot_aws", ".kube~"])
def test_a_copy_of_a_secret_folder_stays_behind(name: str) -> None:
    assert judge_with().by_name(name.encode(), is_directory=True)
    assert not judge_with().by_name(name.encode())


def test_few_names_need_more_than_one_look() -> None:
    judge = judge_with()
    names = [f"work/project/module{number}/file_{number}.{end}" for number in range(2000) for end in ("go", "txt", "")]
    started = time.process_time()
    assert [name for name in names if judge.by_name(name.encode()) or not judge.is_ordinary(name.encode())] == []
    assert time.process_time() - started < 4  # half a second when the machine is quiet; it was ten times that


def test_digest_names_the_rules_whatever_their_layout() -> None:
    canonical = json.dumps(floor().rules, sort_keys=True, separators=(",", ":")).encode()
    assert floor().digest == f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def test_what_runs_on_the_source_is_python_3_6() -> None:
    every = [armour, copies, git_index, git_store, judge, patterns, program, published, scan, screen, send, settings]
    for module in [*every, signatures]:
        text = Path(str(module.__file__)).read_text(encoding="utf-8")
        ast.parse(text, feature_version=(3, 6))
        assert "from __future__" not in text
    length, _, text_sent = source_program().partition(b"\n")
    assert int(length) == len(text_sent)
