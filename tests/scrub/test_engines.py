"""A guest without python3 is scrubbed like any other: what one engine takes, the other takes, and no more."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.support import source_disk
from tests.support.canaries import CONTENTS, PASSES
from tests.support.source_disk import ENGINES, request

from vmclone_operator.homecopy.ere import extended
from vmclone_operator.homecopy.filters import floor

TOKEN = "glpat-" + "a1b2c3d4e5f6g7h8i9j0"
_PRIVATE = "PRIVATE" + " KEY"
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" * 3
CERTIFICATE = f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----\n"
PUBLIC = CERTIFICATE.replace("CERTIFICATE", "PUBLIC KEY")
ONE_LINE = CERTIFICATE.replace("\n", "\\n")
DER = bytes.fromhex("308203a53082028da003020102") + bytes(range(1, 200))

GOES: dict[str, bytes] = {
    "notes/late-nul.txt": b"x" * 9000 + b"\0" + TOKEN.encode(),
    "notes/in-the-middle.log": b"line\n" * 2000 + TOKEN.encode() + b"\0\n" * 100,
    "src/app/.git/config": f"[remote]\nurl = https://oauth2:{TOKEN}@git.example.com/x.git\n".encode(),
    "src/app/.git/hooks/pre-push": f"#!/bin/sh\ncurl -H 'PRIVATE-TOKEN: {TOKEN}' x\n".encode(),
    "src/app/.git/credentials.txt": TOKEN.encode(),
    "notes/one-line.txt": f"-----BEGIN {_PRIVATE}-----{BODY}-----END {_PRIVATE}-----".encode(),
    "notes/in-json.txt": f'{{"k": "-----BEGIN {_PRIVATE}-----\\n{BODY}"}}'.encode(),
    "notes/ssh2.txt": f"---- BEGIN SSH2 ENCRYPTED {_PRIVATE} ----\nComment: x\n{BODY}\n".encode(),
    "big/.env": b"DEBUG=1\n" * 200_000,
    "big/server.pem": CERTIFICATE.encode() * 9000,
    "notes/utf16.txt": TOKEN.encode("utf-16"),
    "notes/two\nlines.txt": TOKEN.encode(),
    "notes/-rf": TOKEN.encode(),
    "notes/$(touch x)`y`.txt": TOKEN.encode(),
    "notes/\udcff.txt": TOKEN.encode(),
    "IDS/Id_RSA": b"x",
    ".ssh/deep/er/known": b"x",
    "a.pem": b"no certificate",
    "app/.env": f"DB_PASSWORD=x7\n{CERTIFICATE}".encode(),
    "app/secrets.yaml": f"idp: |\n{CERTIFICATE}client_secret: zu8Qw3\n".encode(),
    "prod.tfvars": f'ca = <<E\n{CERTIFICATE}E\ndb_password = "q9w8"\n'.encode(),
    ".npmrc": f'ca="{CERTIFICATE}"\n//r/:_authToken=0a1b\n'.encode(),
    "app/credentials.json": f'{{"cert": "{ONE_LINE}", "client_secret": "zu8Qw3"}}'.encode(),
    "jwt/.env": f'JWT_PUBLIC_KEY="{PUBLIC}"\nJWT_SECRET=x\n'.encode(),
    "jwt/.env.local": f"-----BEGIN PUBLIC KEY-----\n{BODY}\nJWT_SECRET=x\n".encode(),
    "word/secrets.txt": f"{CERTIFICATE}hunter2\n".encode(),
    "pass.pem": f"# passphrase: x7\n{CERTIFICATE}".encode(),
    "static.key": f"{CERTIFICATE}-----BEGIN OpenVPN Static key V1-----\n0123\n".encode(),
    "long.der": DER + b"x" * 1000,
    "app/der.env": DER,
    "notes/early-nul.txt": b"a\0b\n" + TOKEN.encode(),
    "notes/utf16-le.txt": f"the token is {TOKEN}".encode("utf-16-le"),
    "notes/utf16-be.txt": f"the token is {TOKEN}".encode("utf-16-be"),
    "both.pem": f"{CERTIFICATE}-----BEGIN {_PRIVATE}-----\n{BODY}\n".encode(),
}
STAYS: dict[str, bytes] = {
    "src/app/.git/HEAD": b"ref: refs/heads/main\n",
    "src/app/.git/refs/heads/secrets.py": b"0" * 40,
    "big/plain.txt": b"x\n" * 700_000,
    "ca.der": DER,
    "ca.pem": CERTIFICATE.encode(),
    "described.pem": f"Bag Attributes\n    friendlyName: x\nsubject=CN = x\n{CERTIFICATE}".encode(),
    "app/ca-secrets.yaml": f"ca: |\n  {CERTIFICATE}".encode(),
    "app/ca-secret.json": f'{{"ca": "{ONE_LINE}", "none": ""}}'.encode(),
    "signed.asc": b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHello\n-----BEGIN PGP SIGNATURE-----\n\n"
    + f"{BODY}\n-----END PGP SIGNATURE-----\n".encode(),
    ".pyenv/versions/3.11.9/lib/python3.11/secrets.py": b"def get(): ...\n",
    "miniconda3/lib/python3.12/__pycache__/secrets.cpython-312.pyc": b"\0\1\2",
    "venv/lib/python3.11/site-packages/sqlalchemy/create.py": b"# postgresql://scott:tigger@localhost/x\n",
    "node_modules/node-forge/lib/pem.js": f"// -----BEGIN RSA {_PRIVATE}-----\n// {BODY}".encode(),
    "node_modules/ws/test/key.pem": f"-----BEGIN {_PRIVATE}-----\n{BODY}\n".encode(),
    "go/pkg/mod/example.com/x@v1/doc.go": TOKEN.encode(),
    "src/secrets.go": b"package x\n",
    "notes/aws.md": b"AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
    "notes/aws.ini": b"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
    "notes/oracle.txt": b"oracle://scott:tiger@localhost/x\n",
    "program": bytes(range(256)) * 64,
    "venv/lib/python3.11/site-packages/x/secrets.py": b"def get(): ...\n",
    "node_modules/x/secrets.js": b"1\n",
    "id_ed25519.pub": b"ssh-ed25519 AAAA me\n",
    "urls.txt": b"http://user:password@localhost/ and http://a:b@c\n",
    "empty.txt": b"",
}


MARKS = ("{}~", "{}.bak", "{}.old.2", "#{}#", ".{}.swp", "copy of {}", "{}-prod", "{} (1)", "private_{}", "{}.1.1.new")
ORIGINALS = (".netrc", "clouds.yaml", "server.pem", "id_rsa.pub", "secrets.yaml", "notes.txt", "wp-config.php", "a.py")
FOLDERS = (
    ".ssh.bak",
    "private_dot_aws",
    "dot_docker",
    ".docker~",
    "old-.kube",
    "ssh.bak",
    "dot_config/gh",
    ".config/gh.old",
)


def plant_copies(home: Path) -> None:
    """Write what backups, editors and managers of configuration leave of files, secret or not."""
    names = [mark.format(name) for mark in MARKS for name in ORIGINALS]
    names += [f"{stem}-prod.{end}" for stem, _, end in (name.rpartition(".") for name in ORIGINALS)]
    names += [name.replace(".", "dot_", 1) for name in ORIGINALS]
    names += [f"{folder}/{name}" for folder in FOLDERS for name in ("config", "config.json", "private_config.json~")]
    for name in names:
        (home / "copies" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "copies" / name).write_text("x")


def plant(root: Path) -> Path:
    """Write a home with all of these and what the other tests know; return it."""
    source_disk.fill(root, every=40)
    home = root / "home/dev"
    for name, data in {**GOES, **STAYS}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
    for number, text in enumerate(CONTENTS.values()):
        (home / f"notes/nul {number}").write_bytes(b"-\n" * 5000 + b"\0" + text.encode() + b"\0")
    plant_copies(home)
    (home / "hard.txt").hardlink_to(home / ".netrc")
    (home / "soft.txt").symlink_to(".netrc")
    return home


def files_of(root: Path) -> set[str]:
    """Return the relative path of everything but folders."""
    return {os.path.relpath(f"{folder}/{name}", root) for folder, _, names in os.walk(root) for name in names}


@pytest.fixture(scope="module")
def erased(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What each engine erased of the same tree, and that it said it was done."""
    gone = {}
    for engine, run in ENGINES.items():
        root = tmp_path_factory.mktemp(engine)
        plant(root)
        before = files_of(root)
        answer = run(root, request(paths=source_disk.OWNERS_PATHS))
        assert (answer["scrub_state"], answer["scrub_left"]) == ("done", "0"), answer
        gone[engine] = before - files_of(root)
    return gone


def test_both_engines_erase_the_same_files(erased: dict[str, set[str]]) -> None:
    assert erased["python"] ^ erased["posix"] == set()
    assert len(erased["python"]) > 340


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", GOES, ids=repr)
def test_f11_what_holds_a_secret_goes(erased: dict[str, set[str]], engine: str, name: str) -> None:
    assert f"home/dev/{name}" in erased[engine]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [*STAYS, *PASSES])
def test_what_only_looks_like_one_stays(erased: dict[str, set[str]], engine: str, name: str) -> None:
    assert f"home/dev/{name}" not in erased[engine]


@pytest.mark.parametrize("engine", ENGINES)
def test_copies_of_secrets_go_and_others_stay(erased: dict[str, set[str]], engine: str) -> None:
    gone = {path.removeprefix("home/dev/copies/") for path in erased[engine] if "/copies/" in path}
    wanted = {mark.format(name) for mark in MARKS[:-1] for name in (".netrc", "clouds.yaml", "server.pem")}
    assert wanted | {".ssh.bak/config", "private_dot_aws/config", "dot_docker/private_config.json~"} <= gone
    assert {path for path in gone if "notes.txt" in path or "a.py" in path or path.startswith("ssh.bak")} == set()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_name_of_a_file_goes_and_its_link_stays(erased: dict[str, set[str]], engine: str) -> None:
    assert "home/dev/hard.txt" in erased[engine]
    assert "home/dev/soft.txt" not in erased[engine]


def test_the_owners_exceptions_are_the_same_for_both(tmp_path: Path) -> None:
    left = {}
    for engine, run in ENGINES.items():
        source_disk.fill(tmp_path / engine, every=200)
        wanted = request(allow=[".kube/config", ".ssh/", "/a.p12"])
        assert run(tmp_path / engine, wanted)["scrub_state"] == "done"
        left[engine] = files_of(tmp_path / engine)
    assert left["python"] == left["posix"]
    assert {"home/dev/.kube/config", "home/dev/.ssh/known_hosts", "home/dev/a.p12"} <= left["posix"]
    assert {"home/dev/.ssh/id_rsa", "home/dev/.ssh/authorized_keys", "home/dev/.kube/cache/x"} & left["posix"] == set()


@pytest.mark.parametrize("shape", floor().rules["signatures"], ids=lambda shape: shape["name"])
def test_a_shape_says_the_same_to_grep_and_to_python(tmp_path: Path, shape: dict[str, str]) -> None:
    texts = [*CONTENTS.values(), *PASSES.values(), *(data.decode("latin-1") for data in {**GOES, **STAYS}.values())]
    for number, text in enumerate(texts):
        (tmp_path / str(number)).write_bytes(text.encode("latin-1").replace(b"\0", b"\n")[:20_000])
    expression = extended(shape["pattern"])
    patterns = tmp_path / "patterns"
    patterns.write_bytes(expression.text + b"\n")
    command = ["grep", "-lzaE", "-f", str(patterns), *map(str, range(len(texts)))]
    found = subprocess.run(command, cwd=tmp_path, env={"LC_ALL": "C"}, capture_output=True, text=True, check=False)
    read = {str(number): (tmp_path / str(number)).read_bytes() for number in range(len(texts))}
    meant = {name for name, data in read.items() if re.search(shape["pattern"].encode(), data)}
    more = set(found.stdout.split()) - meant
    assert meant - set(found.stdout.split()) == set()
    assert more == set() or expression.unless or not expression.exact
