"""Makes the lab's certificates with the openssl command: no Python package is needed.

The CA carries keyUsage: Python's strict TLS refuses one without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmclone_lab.commands import run

if TYPE_CHECKING:
    from pathlib import Path

DAYS = "3650"


@dataclass(frozen=True)
class Subject:
    """Whom a certificate names."""

    name: str
    """File name without ending."""
    common_name: str
    organization: str = ""
    alternative_names: tuple[str, ...] = ()
    """As openssl writes them: DNS:..., IP:..."""

    def distinguished_name(self) -> str:
        """Return the subject as openssl takes it."""
        group = f"/O={self.organization}" if self.organization else ""
        return f"{group}/CN={self.common_name}"

    def extensions(self) -> str:
        """Return the openssl extension file: both uses, as peers play both sides."""
        lines = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature,keyEncipherment",
            "extendedKeyUsage=serverAuth,clientAuth",
            "subjectKeyIdentifier=hash",
            "authorityKeyIdentifier=keyid",
        ]
        if self.alternative_names:
            lines.append("subjectAltName=" + ",".join(self.alternative_names))
        return "\n".join(lines) + "\n"


def ensure_authority(folder: Path, common_name: str) -> None:
    """Make ca.crt and ca.key unless they exist."""
    if (folder / "ca.crt").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    make_key(folder / "ca.key")
    request: list[str | Path] = ["openssl", "req", "-x509", "-new", "-key", folder / "ca.key", "-days", DAYS]
    extensions = [
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    ]
    temporary = folder / "ca.crt.new"
    # An empty configuration: the machine's openssl.cnf would add its own extensions.
    empty = folder / "openssl.cnf"
    empty.write_text("[req]\ndistinguished_name=dn\n[dn]\n")
    subject: list[str | Path] = ["-config", empty, "-subj", f"/CN={common_name}", "-out", temporary]
    run([*request, *extensions, *subject])
    temporary.rename(folder / "ca.crt")


def make_key(path: Path) -> None:
    """Make an RSA key unless it exists; RSA because service account tokens are signed RS256."""
    if not path.exists():
        temporary = path.with_name(path.name + ".new")
        run(["openssl", "genrsa", "-out", temporary, "2048"])
        temporary.chmod(0o600)
        temporary.rename(path)


def ensure_certificate(folder: Path, subject: Subject) -> None:
    """Make NAME.crt and NAME.key, signed by the folder's CA, unless they exist."""
    certificate = folder / f"{subject.name}.crt"
    if certificate.exists():
        return
    key = folder / f"{subject.name}.key"
    make_key(key)
    request = folder / f"{subject.name}.csr"
    extensions = folder / f"{subject.name}.ext"
    extensions.write_text(subject.extensions())
    config: list[str | Path] = ["-config", folder / "openssl.cnf", "-subj", subject.distinguished_name()]
    run(["openssl", "req", "-new", "-key", key, *config, "-out", request])
    temporary = folder / f"{subject.name}.crt.new"
    authority: list[str | Path] = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial"]
    sign: list[str | Path] = ["openssl", "x509", "-req", "-in", request, *authority, "-days", DAYS]
    run([*sign, "-extfile", extensions, "-out", temporary])
    temporary.rename(certificate)
