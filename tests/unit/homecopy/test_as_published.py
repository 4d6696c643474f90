"""A file that is as its packer or its commit has it stays, keys for tests too; what only looks like one does not."""

from __future__ import annotations

import io
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.source.folders import Entry
from vmclone_operator.homecopy.source.published import Tree
from vmclone_operator.homecopy.source.scan import Scan

KEY = "-----BEGIN EC " + "PRIVATE KEY-----\nMHcCAQEEIEZmTmUhuanLjPA2CLquXivuwBDHTt5XYwgIr/kA1LtR\n"
TOKEN = "ghp_" + "q9W8e7R6t5Y4u3I2o1P0a9S8d7F6g5H4j3K2"
MIT = "MIT License\n\nPermission is hereby\ngranted, free of charge, to any person\n"
PACKED = {
    "tests/keys/server.key": KEY,
    "tests/server.conf": "api_key: GDE43t43REGTrkilg43934t34qT43t4dgegerGEgg",
    "examples/id_rsa": KEY,
    "testdata/notes": TOKEN,
    "docs/tokens.md": TOKEN,
}
"""Kinds of files in sdists of salt, fabric and paramiko, and in git archives of minio and nats."""
PACKED_WITH = {
    ".env": "DB_PASSWORD=Tr0ub4dor&3x",
    ".ssh/deploy_key": KEY,
    "deploy.key": KEY,
    "config/tokens.conf": TOKEN,
    "conf/cloud.providers": "api_key: GDE43t43REGTrkilg43934t34qT43t4dgegerGEgg",
    "docker/prod.env": "DB_PASSWORD=Tr0ub4dor&3x",
    "src/deploy.py": TOKEN,
    "tests/.env": "DB_PASSWORD=Tr0ub4dor&3x",
    "tests/credentials.json": '{"token": "' + TOKEN + '"}',
    "tests/terraform.tfvars": 'password = "Tr0ub4dor&3x"',
    "tests/.npmrc": "//npm.example.com/:_authToken=" + TOKEN,
    "tests/.ssh/known_hosts": "host ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA",
    "tests/.aws/credentials": "x",
    "tests/ssh/authorized_keys": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA",
    "tests/ssh_host_rsa_key": KEY,
    ".netrc": "machine a login b password c",
}
"""What a service of one's own may have in an archive of which every file has one time."""
LONG_AGO, RELEASED = 1_500_000_000, 1_600_000_000
MOST_CPU_SECONDS = 10
"""For a text of 1 MiB, many times what it takes; an expression that tries every way takes years."""


def left_out(home: Path, *, excludes: tuple[str, ...] = (), allow: tuple[str, ...] = ()) -> set[str]:
    output = io.BytesIO()
    Scan(os.fsencode(home), {"rules": floor().rules, "excludes": excludes, "allow": allow}, output).run(["."])
    listed = {os.fsdecode(name)[2:] for name in output.getvalue().split(b"\0") if name}
    every = (path for path in home.rglob("*") if ".git" not in path.relative_to(home).parts)
    return {str(path.relative_to(home)) for path in every} - listed


def unpack(tree: Path, files: dict[str, str], *, dated: int = RELEASED) -> None:
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)
        os.utime(tree / name, (dated, dated))


def commit(tree: Path) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for words in (["init", "-q"], ["add", "-fA"], ["commit", "-qm", "x"]):
        subprocess.run(["git", *who, *words], cwd=tree, check=True, capture_output=True)


def test_a_tree_in_which_every_file_has_its_licences_time_stays_whole(tmp_path: Path) -> None:
    unpack(tmp_path / "src/it", {"LICENSE": MIT, **PACKED})
    assert left_out(tmp_path) == set()


def test_an_unpacked_python_package_stays_whole_whatever_times_its_files_have(tmp_path: Path) -> None:
    unpack(tmp_path / "src/it", PACKED, dated=LONG_AGO)
    unpack(tmp_path / "src/it", {"LICENSE": MIT}, dated=LONG_AGO + 100_000)
    unpack(tmp_path / "src/it", {"PKG-INFO": "Metadata-Version: 2.1"})
    assert left_out(tmp_path) == set()


def test_a_file_that_was_changed_after_the_packing_is_its_users(tmp_path: Path) -> None:
    unpack(tmp_path / "it", {"LICENSE": MIT, "PKG-INFO": "Metadata-Version: 2.1", "tests/a.key": KEY})
    unpack(tmp_path / "it", {"tests/mine.key": KEY}, dated=RELEASED + 60)
    assert left_out(tmp_path) == {"it/tests/mine.key"}


@pytest.mark.parametrize("folder", ["src/it", "test/it", "it"])
def test_what_a_service_of_ones_own_is_packed_with_stays_behind(folder: str, tmp_path: Path) -> None:
    unpack(tmp_path / folder, {"LICENSE": MIT, "PKG-INFO": "Metadata-Version: 2.1", "src/it.py": "x", **PACKED_WITH})
    files = {str(path) for path in map(Path, left_out(tmp_path)) if (tmp_path / path).is_file()}
    assert files == {f"{folder}/{name}" for name in PACKED_WITH}


def test_a_folder_of_tests_above_a_tree_makes_nothing_of_it_a_test(tmp_path: Path) -> None:
    unpack(tmp_path / "test/it", {"LICENSE": MIT, "app.ini": "password = 'Tr0ub4dor&3x'"})
    assert left_out(tmp_path) == {"test/it/app.ini"}


@pytest.mark.parametrize(
    "licence",
    [
        "All rights reserved. You may not copy this.",
        "",
        "All rights reserved.\n" + "This service is ours alone. " * 100 + "Its parser is under the Apache License.",
    ],
    ids=["a closed licence", "an empty one", "one that names another for a part"],
)
def test_a_tree_that_is_not_open_is_nobodys_package(licence: str, tmp_path: Path) -> None:
    unpack(tmp_path / "it", {"LICENSE": licence, "tests/a.key": KEY})
    assert left_out(tmp_path) == {"it/tests/a.key"}


def test_what_was_just_written_was_not_packed(tmp_path: Path) -> None:
    (tmp_path / "it/tests").mkdir(parents=True)
    (tmp_path / "it/LICENSE").write_text(MIT)
    (tmp_path / "it/tests/a.key").write_text(KEY)
    assert left_out(tmp_path) == {"it/tests/a.key"}


OPEN = Tree(came=5_000_000.0, dated=1_000_000.0, packed=None, is_open=True)


@pytest.mark.parametrize(
    ("tree", "dated", "changed", "packed"),
    [
        (OPEN, 1_000_001, 5_000_010, True),
        (OPEN, 1_000_001, 5_000_301, False),
        (OPEN, 1_000_010, 5_000_000, False),
        (OPEN._replace(is_open=False), 1_000_000, 5_000_000, False),
        (OPEN._replace(packed=2_000_000.0), 1_500_000, 5_000_000, True),
        (OPEN._replace(packed=2_000_000.0), 2_000_010, 5_000_000, False),
        (OPEN._replace(packed=2_000_000.0), 1_500_000, 6_000_000, False),
        (OPEN._replace(dated=4_999_000.0), 4_999_000, 5_000_000, False),
    ],
    ids=[
        "of the licence's time",
        "moved into the tree later, of the licence's time",
        "of another time than the licence",
        "of a closed tree",
        "from before the packing",
        "from after the packing",
        "from before the packing, put there later",
        "made a while ago by the program that made the licence",
    ],
)
def test_a_file_is_as_packed_by_its_times(tree: Tree, dated: float, changed: float, packed: bool) -> None:
    assert tree.has_as_packed(dated, changed) is packed


NAMED = {
    ".aws/config": "[default]",
    "home/.ssh/known_hosts": "x",
    "files/ssh_host_rsa_key": KEY,
    ".netrc": "machine a login b password c",
}
"""Files whose names, or those of folders above them, keep them back."""


def test_a_repository_below_the_home_stays_clean_whatever_its_files_are_called(tmp_path: Path) -> None:
    unpack(tmp_path / "src/it", NAMED)
    commit(tmp_path / "src/it")
    assert left_out(tmp_path) == set()


def test_of_such_names_only_what_the_commit_has_stays(tmp_path: Path) -> None:
    unpack(tmp_path / "src/it", NAMED)
    commit(tmp_path / "src/it")
    (tmp_path / "src/it/.aws/credentials").write_text("new")
    (tmp_path / "src/it/.netrc").write_text("machine a login b password d")
    assert left_out(tmp_path) == {"src/it/.aws/credentials", "src/it/.netrc"}


def test_a_home_that_is_a_repository_keeps_its_own_places_back(tmp_path: Path) -> None:
    unpack(tmp_path, NAMED)
    commit(tmp_path)
    kept_back = {".aws", ".aws/config", "home/.ssh", "home/.ssh/known_hosts", "files/ssh_host_rsa_key", ".netrc"}
    assert left_out(tmp_path) == kept_back


STORES = {
    "a store of pass": (".password-store", "mail/work.gpg"),
    "a store of gopass": (".local/share/gopass/stores/root", "mail/work.age"),
    "keys of ssh": (".ssh", "id_ed25519"),
    "keys of ssh, in a file that is named itself": (".ssh", "authorized_keys"),
    "keys of a cloud": (".aws", "sso/cache/token.json"),
    "a repository in a store": (".password-store/team", "mail/work.gpg"),
    "a copy of a folder of keys": (".ssh.old", "config"),
    "the settings of all tools": (".config", "gcloud/credentials.db"),
    "the data of all tools": (".local/share", "keyrings/login.keyring.d/x"),
    "a profile of a browser": (".mozilla", "firefox/a.default/logins.json"),
}
"""Work trees that are where tools keep secrets, each with a file of it."""


@pytest.mark.parametrize("kind", STORES)
def test_a_store_of_secrets_that_is_a_repository_stays_behind(kind: str, tmp_path: Path) -> None:
    tree, name = STORES[kind]
    unpack(tmp_path / tree, {name: "x", "notes/readme": "x"})
    commit(tmp_path / tree)
    assert f"{tree}/{name}" in left_out(tmp_path)


def test_the_owners_word_opens_a_store_that_is_a_repository(tmp_path: Path) -> None:
    unpack(tmp_path / ".password-store", {"mail/work.key": KEY})
    commit(tmp_path / ".password-store")
    assert left_out(tmp_path, allow=(".password-store/",)) == set()


def test_a_repository_in_a_folder_of_settings_stays_clean(tmp_path: Path) -> None:
    unpack(tmp_path / ".config/nvim", {"init.lua": "x", "tests/.ssh/known_hosts": "x", "tests/a.key": KEY})
    commit(tmp_path / ".config/nvim")
    assert left_out(tmp_path) == set()


def test_what_the_user_excludes_is_left_out_of_repositories_too(tmp_path: Path) -> None:
    unpack(tmp_path / "it", {"a.txt": "x", "tests/.ssh/known_hosts": "x"})
    commit(tmp_path / "it")
    output = io.BytesIO()
    parameters = {"rules": floor().rules, "excludes": ["a.txt", "tests/"], "allow": []}
    Scan(os.fsencode(tmp_path), parameters, output).run(["."])
    names = {os.fsdecode(name)[2:] for name in output.getvalue().split(b"\0") if name}
    assert not {"it/a.txt", "it/tests", "it/tests/.ssh", "it/tests/.ssh/known_hosts"} & names


BELOW = {
    "tests/.aws/x.pem": "x",
    "tests/.aws/private/y": "x",
    "tests/.aws/private/deep/er/y": "x",
    "private/.aws/y": "x",
    "tests/.aws/config": "x",
}
"""Files below folders that are kept back by name; what is committed there stays all the same."""
OF_THE_USER = {"tests/.aws/x.pem", "tests/.aws/private/y", "tests/.aws/private/deep/er/y", "private/.aws/y"}


def test_what_the_user_excludes_is_left_out_below_folders_that_are_kept_back_too(tmp_path: Path) -> None:
    unpack(tmp_path / "it", BELOW)
    commit(tmp_path / "it")
    left = left_out(tmp_path, excludes=("*.pem", "private/"))
    assert {path for path in left if (tmp_path / path).is_file()} == {f"it/{name}" for name in OF_THE_USER}
    assert left_out(tmp_path) == set()


def test_no_exception_of_the_owner_opens_what_the_user_excludes_below_it(tmp_path: Path) -> None:
    unpack(tmp_path, {".aws/private/y": "x", ".aws/x.pem": "x", ".aws/config": "x"})
    (tmp_path / ".aws/z.pem").symlink_to("config")
    left = left_out(tmp_path, excludes=("*.pem", "private/"), allow=(".aws/", ".aws/**"))
    assert left == {".aws/private", ".aws/private/y", ".aws/x.pem", ".aws/z.pem"}


def listed_of(home: Path, paths: tuple[str, ...]) -> tuple[list[str], dict[str, Any]]:
    """Return the names on the list, in order, and what was counted."""
    output = io.BytesIO()
    scan = Scan(os.fsencode(home), {"rules": floor().rules, "excludes": [], "allow": []}, output)
    scan.run(list(paths))
    return [os.fsdecode(name)[2:] for name in output.getvalue().split(b"\0") if name], scan.summary()


@pytest.mark.parametrize(
    "paths",
    [
        ("it/tests/.aws", "it"),
        ("it", "it/tests/.aws"),
        ("it/tests", "it/tests/.aws/config", "it"),
        ("it/linked", "it/tests/.aws/linked", "it"),
        ("it/.netrc", "it", "."),
        (".", "it/tests/.aws"),
    ],
    ids=" then ".join,
)
def test_paths_that_lie_in_one_another_are_copied_once_and_whole(paths: tuple[str, ...], tmp_path: Path) -> None:
    unpack(tmp_path / "it", {"tests/.aws/config": "x", "tests/a.txt": "x", "a.txt": "x", "src/b.txt": "x"})
    os.link(tmp_path / "it/a.txt", tmp_path / "it/linked")
    os.link(tmp_path / "it/a.txt", tmp_path / "it/tests/.aws/linked")
    commit(tmp_path / "it")
    unpack(tmp_path / "it", {".netrc": "machine a login b password c", "tests/.aws/credentials": "x"})
    names, counts = listed_of(tmp_path, paths)
    whole, whole_counts = listed_of(tmp_path, ("it",))
    assert sorted(names) == sorted(whole)
    assert {"it", "it/a.txt", "it/linked", "it/src/b.txt", "it/tests/.aws/config", "it/tests/.aws/linked"} <= {*names}
    assert counts == whole_counts


def test_a_folder_that_vanishes_above_a_committed_file_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(tmp_path / "it", {"tests/.aws/config": "x", "tests/a.txt": "x", "z.txt": "x"})
    commit(tmp_path / "it")
    output = io.BytesIO()
    scan = Scan(os.fsencode(tmp_path), {"rules": floor().rules, "excludes": [], "allow": []}, output)
    asked = scan.judge.is_by_others

    def and_then_it_is_gone(path: bytes) -> bool:
        answer = asked(path)
        (tmp_path / "it/tests/.aws").rename(tmp_path / "elsewhere")
        return answer

    monkeypatch.setattr(scan.judge, "is_by_others", and_then_it_is_gone)
    scan.run(["it"])
    names = {os.fsdecode(name)[2:] for name in output.getvalue().split(b"\0") if name}
    assert {"it", "it/tests", "it/tests/a.txt", "it/z.txt"} <= names
    assert not {"it/tests/.aws", "it/tests/.aws/config"} & names
    assert (scan.summary()["skipped"], scan.summary()["first"]) == (
        {"Vanished": 1},
        {"Vanished": "it/tests/.aws/config"},
    )


def test_a_path_that_vanishes_before_it_is_walked_costs_only_itself(tmp_path: Path) -> None:
    met: list[Entry] = []

    def visit(entry: Entry, _: str | None) -> list[tuple[bytes, str | None]]:
        met.append(entry)
        return []

    Scan(os.fsencode(tmp_path), {"rules": floor().rules, "excludes": [], "allow": []}, io.BytesIO()).walk(b"it", visit)
    assert met == [Entry(b"it", None, "Vanished")]


@pytest.mark.parametrize(
    ("name", "content", "stays"),
    [
        ("app/.env", "", True),
        ("certs/empty.key", "", True),
        ("app/.env", "# How to log.\nLOG_LEVEL=debug\nexport PORT=8080\n\n", True),
        ("app/.env.sample", "API_TOKEN=\nDB_PASSWORD=${DB_PASSWORD}\nKEY=<your key>\n", True),
        ("app/.npmrc", "registry=https://npm.example.org/\nsave-exact=true\n", True),
        ("app/.yarnrc.yml", "nodeLinker: node-modules\nenableTelemetry: false\n", True),
        ("app/.envrc", "export RAILS_ENV=development\n", True),
        ("app/.env", "LOG_LEVEL=debug\nDB_PASSWORD=wonderland\n", False),
        ("app/.env", "DB_PASSWORD=test\n", False),
        ("app/.env", "# DB_PASSWORD=Tr0ub4dor\n", False),
        ("app/.env", "# password: wonderland\n", False),
        ("app/.env", "# the old one was Tr0ub4dor\n", False),
        ("app/.env", "NAME=wonderland\n", False),
        ("app/.env", "wonderland\n", False),
        ("app/.env", "URL=https://host/T0123/B456\n", False),
        ("app/.npmrc", "registry=https://me:pass@npm.example.org/\n", False),
        ("app/.npmrc", "//npm.example.org/:_password=true\n", False),
        ("app/.env", "DB_PASSWORD='$uperSecret'\n", False),
        ("app/.env", "DB_PW=12345\n", False),
        ("app/.env", "# DB_PW=\n", False),
        ("app/.env", "bindpw: 4711\n", False),
        ("app/.env", "WIFI_PSW=12345\n", False),
        ("app/.env", "PHRASE=local\n", False),
        ("app/.env", "DB_PW=\nDB_PW2=${DB_PW}\n", True),
        ("app/.env", "DB_PASSWORD=$uperSecret\n", False),
        ("app/.env", 'DB_PASSWORD="$uperSecret"\n', False),
        ("app/.env", "DB_PASSWORD='${UPER}'\n", False),
        ("app/.env", "DB_PASSWORD=${uperSecret\n", False),
        ("app/.env", "ADMIN='$uperSecret'\n", False),
        ("app/.env", "DB_PASSWORD=<wonderland>\n", False),
        ("app/.env", "DB_PASSWORD='\n", False),
        ("app/.env", 'DB_PASSWORD="${DB_PASSWORD}"\nTOKEN=$API_TOKEN\nSECRET=${my_secret}\nPIN="<your pin>"\n', True),
        ("app/.env.secret", "YJ5cuo6CAYiDJKnBBs0dNZ2bQbs4pgxTKCpAx2nDSMk=\n", False),
        ("app/.env.secret", "mZ0vQ/kT4b:\n", False),
        ("app/.env.secret", "JBSWY3DPEHPK3PXPGE2DGNRR=\n", False),
        ("app/.env.secret", "9f86d081884c7d659a2feaa0c55ad015=\n", False),
        ("app/.env.secret", "f86d081884c7d659a2feaa0c55ad0153b=\n", False),
        ("app/.env.secret", "QUtJQUlPU0ZPRE5ON0VYQU1QTEVqa2xtbm9wcXJzdHV2d3h5=\n", False),
        ("app/.env.secret", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz=\n", False),
        ("app/.env", "API_TOKEN=\nS3_BUCKET=\nOAUTH2_CLIENT=\nk8s.namespace:\nsaslMechanism=''\nHTTP2=\n", True),
        ("app/.npmrc", "@mycompany:registry=\ncafile=\n", True),
        ("passwords.txt", "alice: test\n", False),
        ("secrets/token", "test\n", False),
    ],
)
def test_settings_stay_when_no_line_could_hold_a_secret(name: str, content: str, stays: bool, tmp_path: Path) -> None:
    unpack(tmp_path, {name: content})
    assert (left_out(tmp_path) == set()) is stays


@pytest.mark.parametrize(
    "token",
    ["github_pat_11ABCDEFG0123456789_abcdefghijklmnop", "hvs." + "abcdefghij" * 3],
)
def test_tokens_that_count_through_the_alphabet_are_made_up(token: str, tmp_path: Path) -> None:
    unpack(tmp_path, {"notes.txt": f"the token is {token}\n"})
    assert left_out(tmp_path) == set()


BLANKS_AND_WORDS = {
    "a .env with 40 blanks in a comment": ("app/.env", "# name" + " " * 40 + "2\n"),
    "a .env with a sentence of 40 words": ("app/.env", "# " + "how it is to be called by us " * 5 + "in 2026\n"),
    "a .env with marks": ("app/.env", "# " + "--==##''" * 40 + " 2\n"),
    "a .npmrc with 100,000 blanks": ("app/.npmrc", "; name" + " \t" * 50_000 + "2\n"),
    "a .env with words up to the limit": ("app/.env", "# " + "word, " * 160_000 + "2\n"),
    "a .env of one name": ("app/.env", "export " * 2 + "A" * 900_000 + " \n"),
    "a .env with a name of blanks": ("app/.env", "export" + " " * 900_000 + "=2\n"),
    "a .env with one long value": ("app/.env", "URL=http://" + "a.-" * 300_000 + "2\n"),
    "armour with words up to the limit": ("a.pem", "-----BEGIN CERTIFICATE-----\nx" + "pass" * 250_000),
    "armour with blanks": ("a.pem", "-----BEGIN CERTIFICATE-----\nEND CERTIFICATE\npass" + ' "' * 400_000),
    "marks beside a certificate": (
        "secrets.yaml",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----" + "a: - " * 190_000 + "!",
    ),
    "names beside a certificate": (
        "secrets.yaml",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----" + "a-._" * 230_000 + "!",
    ),
    "beginnings of armour": ("a.pem", "-----BEGIN " * 95_000),
    "what counts through the alphabet nearly": ("notes.txt", "token=hvs." + "abcdefghi" * 110_000),
    "a licence that never says which": ("it/LICENSE", "Permission to use, copy, modif " * 30_000),
}


@pytest.mark.parametrize("kind", BLANKS_AND_WORDS)
def test_no_text_takes_long_to_judge_whatever_is_repeated_in_it(kind: str, tmp_path: Path) -> None:
    name, content = BLANKS_AND_WORDS[kind]
    unpack(tmp_path, {name: content, "it/tests/a.key": KEY})
    started = time.process_time()
    left_out(tmp_path)
    assert time.process_time() - started < MOST_CPU_SECONDS


def test_a_long_comment_is_read_to_its_end(tmp_path: Path) -> None:
    unpack(tmp_path, {"a/.env": "# " + "how the service is called " * 40, "b/.env": "# " + "word " * 40 + "Tr0ub4dor"})
    assert left_out(tmp_path) == {"b/.env"}
