"""Through which proxy the API server is reached, as kubectl and every other program in Go decide it.

Python's libraries read the same variables otherwise: they know no networks (10.96.0.0/12) in NO_PROXY and match a name
by its end alone. So the proxy is decided here and given to both clients, which look at no variable themselves.

    HTTPS_PROXY=http://proxy:3128 NO_PROXY=10.96.0.0/12,.svc,node-1:6443

Rules: golang.org/x/net/http/httpproxy, which net/http and so client-go use.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_SPOKEN = frozenset({"http", "https"})


class ProxyUnusableError(Exception):
    """A proxy is configured that this operator cannot go through."""


def proxy_for(server: str, environment: Mapping[str, str]) -> str:
    """Return the URL of the proxy to a server, empty for none; raises ProxyUnusableError with a sentence."""
    url = urlsplit(server)
    name = f"{url.scheme}_proxy"
    wanted = environment.get(name.upper()) or environment.get(name) or ""
    host, port = (url.hostname or "").lower().rstrip("."), url.port or _PORTS.get(url.scheme, 0)
    if not wanted or _is_local(host) or _excepted(host, port, environment):
        return ""
    return checked_proxy(wanted, name.upper())


def checked_proxy(wanted: str, where: str) -> str:
    """Return a proxy's URL, with a scheme if it has none; raises ProxyUnusableError for one that is not spoken."""
    proxy = wanted if "://" in wanted else f"http://{wanted}"
    if urlsplit(proxy).scheme not in _SPOKEN:
        raise ProxyUnusableError(
            f"{where} names a proxy of kind {urlsplit(proxy).scheme}, which vmclone does not speak: name one as"
            " http://host:port, or except the API server with NO_PROXY"
        )
    return proxy


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _excepted(host: str, port: int, environment: Mapping[str, str]) -> bool:
    listed = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    return any(_matches(entry.strip().lower(), host, port) for entry in listed.split(",") if entry.strip())


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry means this host: `*`, a network, an address or a name, the last two with or without port.

    `example.test` means itself and all below it, `.example.test` and `*.example.test` only what is below.
    """
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        network = _network(entry)
        return network is not None and address is not None and address in network
    name, only = _with_port(entry)
    if only and only != port:
        return False
    if _address(name) is not None or address is not None:
        return address is not None and _address(name) == address
    name = name.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _with_port(entry: str) -> tuple[str, int]:
    """Return host and port of an entry, the port 0 where it has none."""
    if _address(entry) is not None:
        return entry.strip("[]"), 0
    host, colon, port = entry.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and port.isdigit() else (entry.strip("[]"), 0)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
