"""What people work with still works in a copied home: a virtualenv does TLS, repositories are clean."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.homes import write
from tests.integration.homecopy.hosts import run

pytestmark = pytest.mark.integration

PYTHON = "/usr/bin/python3"
"""Both users can run it, unlike the one that runs the tests."""

CLIENT = """
import certifi, socket, ssl, sys
context = ssl.create_default_context(cafile=certifi.where())
plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20)
print(context.wrap_socket(plain, server_hostname="localhost").recv(5).decode(), len(context.get_ca_certs()))
"""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Make a certificate for localhost that is its own authority."""
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    run(*request, "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate))
    return certificate


@pytest.fixture
def tls_port(authority: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_suffix(".key"))
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        client, _ = server.accept()
        with context.wrap_socket(client, server_side=True) as secured:
            secured.sendall(b"hello")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield int(server.getsockname()[1])
    server.close()


def test_virtualenv_still_does_tls(copying: Copying, authority: Path, tls_port: int) -> None:
    """Its certifi holds public certificates, the company's own among them, in a file named like a key."""
    venv = copying.source.home / "work/venv"
    run(PYTHON, "-m", "venv", "--without-pip", str(venv))
    (packages,) = (venv / "lib").glob("python3*/site-packages")
    shutil.copytree(Path(certifi.__file__).parent, packages / "certifi")
    bundle = packages / "certifi/cacert.pem"
    bundle.write_text(bundle.read_text() + authority.read_text())
    copying.source.own()
    assert copying.run().reason == "Copied"
    user = ["setpriv", f"--reuid={copying.clone.user}", "--clear-groups"]
    python = copying.clone.home / "work/venv/bin/python"
    said, certificates = run(*user, str(python), "-c", CLIENT, str(tls_port), cwd="/").split()
    assert (said, int(certificates)) == ("hello", bundle.read_text().count("BEGIN CERT"))


def test_clean_repositories_stay_clean(copying: Copying) -> None:
    """A repository and its submodule, with names that look like secrets among the tracked."""
    home = copying.source.home
    git = ["git", "-c", "safe.directory=*", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    git += ["-c", "protocol.file.allow=always", "-C"]
    trees = [home / name for name in ("library", "project", "project/library")]
    run(*git, str(home), "init", "-q", "library")
    run(*git, str(home), "init", "-q", "project")
    for tree in trees[:2]:
        for name in ("secrets.yaml", "a.key", ".env", "id_of_test_rsa", "x.asc", "tests/.ssh/known_hosts", ".netrc"):
            write(tree / name, "nothing: secret\n")
        run(*git, str(tree), "add", "-A")
        run(*git, str(tree), "commit", "-qm", "first")
    run(*git, str(trees[1]), "submodule", "--quiet", "add", "../library", "library")
    run(*git, str(trees[1]), "commit", "-qm", "with a library")
    write(trees[1] / "tests/.ssh/id_rsa", "of the user")
    copying.source.own()
    assert copying.run().reason == "Copied"
    assert not (copying.clone.home / "project/tests/.ssh/id_rsa").exists()
    for tree in trees:
        arrived = copying.clone.home / tree.relative_to(home)
        assert run(*git, str(arrived), "status", "--porcelain") == "", tree
