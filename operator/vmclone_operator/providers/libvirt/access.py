"""How a libvirt host is reached: its address, built from fields only, its keys as files, and a knock at its door.

Over SSH libvirt's built-in client is used, with one key, pinned host keys and a constant remote command: no ssh
program, no configuration file of anybody's, and no question that somebody could answer. Of its two clients
libssh2 it is: with libssh, answers that had already arrived were seen waiting for the next keepalive, or for ever.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from vmclone_operator.domain.errors import BackendUnreachable, CredentialsInvalid
from vmclone_operator.providers.libvirt import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vmclone_operator.api.backend import LibvirtSettings

KNOCK_SECONDS = 5.0
KNOWN_HOSTS = "known_hosts"
_FILES = {
    "tls": {"tls.crt": "clientcert.pem", "tls.key": "clientkey.pem", "ca.crt": "cacert.pem"},
    "ssh": {"ssh-privatekey": "key"},
}
"""What the Secret must hold for each transport, and the file names that libvirt is told."""
_SSH_PORT = 22


def uri(settings: LibvirtSettings, folder: str = "") -> str:
    """Return the connection URI; only the fields of our schema can get into it."""
    if settings.transport == "local":
        return "qemu:///system"
    if settings.transport == "tls":
        return f"qemu+tls://{_authority(settings)}/system?pkipath={quote(folder)}"
    query = {
        "keyfile": f"{folder}/key",
        "known_hosts": f"{folder}/{KNOWN_HOSTS}",
        "known_hosts_verify": "normal",  # with nobody to ask, a host that is not in the file is refused
        "sshauth": "privkey",
        "proxy": "native",  # runs virt-ssh-helper and nothing else
        "no_tty": "1",
    }
    return f"qemu+libssh2://{settings.user}@{_authority(settings)}/system?{urlencode(query, quote_via=quote, safe='/')}"


def _authority(settings: LibvirtSettings) -> str:
    host = settings.host or ""
    return f"[{host}]:{settings.service_port}" if _is_ipv6(host) else f"{host}:{settings.service_port}"


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def known_hosts(settings: LibvirtSettings) -> str:
    """Return the lines that pin the host's keys: these and no others."""
    host = (settings.host or "").lower()
    place = host if settings.service_port == _SSH_PORT else f"[{host}]:{settings.service_port}"
    return "".join(f"{place} {key}\n" for key in settings.known_hosts)


class PrivateFiles:
    """The keys as files, which is how libvirt wants them: private, and gone with the session."""

    def __init__(self, settings: LibvirtSettings, credentials: Mapping[str, bytes]) -> None:
        names = _FILES.get(settings.transport, {})
        missing = [key for key in names if not credentials.get(key)]
        if missing:
            raise CredentialsInvalid(
                f"the credentials Secret lacks {', '.join(missing)}: transport {settings.transport} needs"
                f" {', '.join(names)}"
            )
        self._folder = tempfile.TemporaryDirectory(prefix="vmclone-keys-")
        for key, name in names.items():
            self._write(name, credentials[key].rstrip(b"\r\n") + b"\n")
        if settings.transport == "ssh":
            self._write(KNOWN_HOSTS, known_hosts(settings).encode())

    def _write(self, name: str, content: bytes) -> None:
        file = Path(self.path) / name
        file.touch(mode=0o600)
        file.write_bytes(content)

    @property
    def path(self) -> str:
        """The directory they are in."""
        return self._folder.name

    def remove(self) -> None:
        """Remove the files."""
        self._folder.cleanup()


def knock(settings: LibvirtSettings) -> Callable[[], None] | None:
    """Return what proves, within seconds, that the host's service answers; libvirt itself waits for ever."""
    if settings.transport == "local" or settings.host is None:
        return None
    first_words = _tls_answers if settings.transport == "tls" else _ssh_answers
    return partial(_knock, (settings.host, settings.service_port), first_words)


def _knock(address: tuple[str, int], answers: Callable[[socket.socket], bool]) -> None:
    place = f"{address[0]}:{address[1]}"
    try:
        with socket.create_connection(address, timeout=KNOCK_SECONDS) as connection:
            if not answers(connection):
                raise BackendUnreachable(f"{place}: closed the connection before it said anything")
    except OSError as error:
        raise BackendUnreachable(translate.plain(f"{place}: {error}")) from error


def _tls_answers(connection: socket.socket) -> bool:
    """Begin a TLS session. Nothing is believed here: libvirt checks both certificates when it connects."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.wrap_socket(connection).close()
    except TimeoutError:
        raise
    except ssl.SSLError:  # a refusal is an answer
        return True
    return True


def _ssh_answers(connection: socket.socket) -> bool:
    return bool(connection.recv(64))
