"""What others published is no secret: examples, tests and checksums of real trees stay, and what looks like them not.

The samples are lines of Debian's, npm's and Go's packages that the rules took for secrets; each names where it stands.
"""

from __future__ import annotations

import io
import os
import subprocess
import time
from pathlib import Path

import pytest

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.source.scan import Scan

KEY = "-----BEGIN EC " + "PRIVATE KEY-----\nMHcCAQEEIEZmTmUhuanLjPA2CLquXivuwBDHTt5XYwgIr/kA1LtR\n"
PUBLISHED = {
    "kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4/doc.go": '// token: "783bde.3f89s0fje9f38fhf"',
    "kubernetes/pkg/kubelet/images/image_manager_test.go": '"auth": "dXNlcjpwYXNzd29yZA=="',
    "kubernetes/test/cmd/core.sh": '  "kind": "Secret",',
    "django/docs/topics/db/multi-db.txt": "'PASSWORD': 's3krit',",
    "django/tests/auth_tests/fixtures/natural.json": '"password": "pbkdf2_sha256$10000$LUyhxJjuLwXF$f6Zbpnx1L5dPze8m"',
    "django/tests/validators/valid_urls.txt": "http://userid:p4ssw0rt@example.com",
    "cloud-init/doc/examples/cloud-config-user-groups.txt": "passwd: $6$j212wezy$"
    + "7H/1LT4f9/N3wpgNunhsIqtMj62OKi" * 3,
    "docker-cli/docs/reference/commandline/swarm_join.md": "--token SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99"
    "znpy26u2lkl-7p73s1dx5in4tatdymyhg9hu2 192.0.2.2:2377",
    "docker-cli/compose/testdata/example1.env": "FOO=foo_from_env_file",
    "rails/activemodel/lib/active_model/secure_password.rb": "#   user.password = 'mUc3m00RsqyRe'",
    "rclone/backend/box/box.go": 'ClientSecret = "sYbJYm99WB8jzeaLPU0OPDMJKIkZvD2qOn3SyEMfiJr03RdtDt3xcZEIudR"',
    "node-forge/dist/forge.min.js": 'var s="PuTTY-User-Key-File-2: ssh-rsa\\r\\nEncryption: "+a',
    "aws-sdk/apis/waf-2015-08-24.examples.json": '"ChangeToken": "abcd12f2-46da-4fdb-b8d5-fbd4c466928f"',
}
"""Files of unpacked trees with a licence."""
ANYWHERE = {
    "go.sum": "k8s.io/api v0.37.1 h1:l6N77U7tjwB5L056bgrBTJIEdevac/naBZ3iSvDNfpM=",
    "notes/sendgrid.rb": "https://actionmailbox:PASSWORD@example.com/rails/action_mailbox/sendgrid/inbound_emails",
    "notes/dbconsole.rb": "postgresql://foo:bar@localhost:9000/foo_test?pool=5",
    "notes/poly1305.js": "'AGFzbQEAAAABYAF/AGAAAn9gAX8Bf2AB+YCACADQZwIKAIARw0BQZAIIAA2AgAPCyAFIAFBfnE2AgQ='",
}
LICENCES = ["LICENSE", "LICENSE.txt", "MIT-LICENSE", "COPYING"]
EXAMPLE = "django/docs/topics/db/multi-db.txt"
PASSWORD = "password = 'Tr0ub4dor&3x'\n"


def left_out(home: Path) -> set[str]:
    output = io.BytesIO()
    Scan(os.fsencode(home), {"rules": floor().rules, "excludes": [], "allow": []}, output).run(["."])
    listed = {os.fsdecode(name)[2:] for name in output.getvalue().split(b"\0") if name}
    return {str(path.relative_to(home)) for path in home.rglob("*") if ".git" not in path.parts} - listed


def write(home: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content + "\n")


@pytest.mark.parametrize("licence", LICENCES)
def test_a_published_tree_that_was_unpacked_stays_whole(licence: str, tmp_path: Path) -> None:
    trees = {name.partition("/")[0] for name in PUBLISHED}
    write(tmp_path, {f"src/{name}": content for name, content in PUBLISHED.items()})
    write(tmp_path, {f"src/{tree}/{licence}": "Permission is hereby granted" for tree in trees})
    assert left_out(tmp_path) == set()


def test_the_same_values_stay_behind_where_nothing_says_that_they_are_published(tmp_path: Path) -> None:
    write(tmp_path, PUBLISHED)
    assert len(left_out(tmp_path)) >= len(PUBLISHED) - 2


def test_checksums_and_documented_logins_are_harmless_anywhere(tmp_path: Path) -> None:
    write(tmp_path, ANYWHERE)
    assert left_out(tmp_path) == set()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("conf/server.xml", '<user name="me" password="Tr0ub4dor&3x"/>'),
        ("config/config.php", PASSWORD),
        ("config.ini", PASSWORD),
        ("examples/.env", "DB_PASSWORD=Tr0ub4dor&3x"),
        ("tests/server.go", KEY),
        ("tests/key.pem", KEY),
        ("docs/notes.md", "ghp_" + "q9W8e7R6t5Y4u3I2o1P0a9S8d7F6g5H4j3K2"),
    ],
    ids=lambda value: value.split("\n")[0][:30],
)
def test_settings_keys_and_tokens_in_a_published_tree_stay_behind(name: str, content: str, tmp_path: Path) -> None:
    write(tmp_path, {"src/it/LICENSE": "Permission is hereby granted", f"src/it/{name}": content})
    assert left_out(tmp_path) == {f"src/it/{name}"}


def test_what_was_written_after_a_tree_came_here_is_not_of_it(tmp_path: Path) -> None:
    write(tmp_path, {"it/LICENSE": "Permission is hereby granted", "it/tests/login.py": PASSWORD})
    assert left_out(tmp_path) == set()
    later = time.time() + 3600
    os.utime(tmp_path / "it/tests/login.py", (later, later))
    assert left_out(tmp_path) == {"it/tests/login.py"}


def test_of_a_repository_only_its_commit_says_what_is_published(tmp_path: Path) -> None:
    write(tmp_path, {"it/LICENSE": "Permission is hereby granted", "it/tests/login.py": PASSWORD})
    subprocess.run(["git", "init", "-q", str(tmp_path / "it")], check=True, capture_output=True)
    assert left_out(tmp_path) == {"it/tests/login.py"}


@pytest.mark.parametrize("licence", ["it/LICENSE", "LICENSE"], ids=["an empty one", "one of the home itself"])
def test_not_every_licence_makes_a_tree_a_published_one(licence: str, tmp_path: Path) -> None:
    write(tmp_path, {licence: "x", "it/tests/login.py": PASSWORD})
    if licence.startswith("it/"):
        (tmp_path / licence).write_text("")
    assert left_out(tmp_path) == {"it/tests/login.py"}
