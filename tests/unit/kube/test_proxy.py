"""The proxy to the API server is the one that kubectl and client-go would take; each row is a rule of httpproxy."""

from __future__ import annotations

import pytest

from vmclone_operator.kube.proxy import ProxyUnusableError, proxy_for

PROXY = "http://proxy.example.test:3128"
IN_CLUSTER = "https://10.96.0.1:443"
ROWS: dict[str, tuple[str, dict[str, str], str]] = {
    "no proxy is configured": (IN_CLUSTER, {}, ""),
    "HTTPS_PROXY counts for https": (IN_CLUSTER, {"HTTPS_PROXY": PROXY}, PROXY),
    "the small letters count as well": (IN_CLUSTER, {"https_proxy": PROXY}, PROXY),
    "the capitals come first": (IN_CLUSTER, {"HTTPS_PROXY": PROXY, "https_proxy": "http://other:1"}, PROXY),
    "HTTP_PROXY does not count for https": (IN_CLUSTER, {"HTTP_PROXY": PROXY}, ""),
    "HTTP_PROXY counts for http": ("http://api.test:8001", {"HTTP_PROXY": PROXY}, PROXY),
    "a proxy without a scheme is one of http": (IN_CLUSTER, {"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
    "a network in NO_PROXY": (IN_CLUSTER, {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, ""),
    "another network": (IN_CLUSTER, {"HTTPS_PROXY": PROXY, "NO_PROXY": "172.16.0.0/12"}, PROXY),
    "a network of IPv6": ("https://[fd00::1]:443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "fd00::/8"}, ""),
    "an address in NO_PROXY": (IN_CLUSTER, {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.96.0.1"}, ""),
    "an address with its port": (IN_CLUSTER, {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.96.0.1:443"}, ""),
    "an address with another port": (IN_CLUSTER, {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.96.0.1:6443"}, PROXY),
    "an address that only begins alike": (IN_CLUSTER, {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.96.0"}, PROXY),
    "a list with spaces": (IN_CLUSTER, {"HTTPS_PROXY": PROXY, "NO_PROXY": "a.test, 10.96.0.0/12 ,b"}, ""),
    "a name in NO_PROXY means itself": ("https://api.test:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "api.test"}, ""),
    "and all below it": ("https://k.api.test", {"HTTPS_PROXY": PROXY, "NO_PROXY": "api.test"}, ""),
    "but none that only ends alike": ("https://myapi.test", {"HTTPS_PROXY": PROXY, "NO_PROXY": "api.test"}, PROXY),
    "a leading dot means only what is below": ("https://a.test", {"HTTPS_PROXY": PROXY, "NO_PROXY": ".a.test"}, PROXY),
    "a suffix with a dot": ("https://k.default.svc", {"HTTPS_PROXY": PROXY, "NO_PROXY": ".svc"}, ""),
    "a star and a suffix": ("https://k.default.svc", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*.svc"}, ""),
    "capitals in a name do not matter": ("https://API.test", {"HTTPS_PROXY": PROXY, "NO_PROXY": "Api.Test"}, ""),
    "a star alone means everything": (IN_CLUSTER, {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, ""),
    "localhost needs no entry": ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, ""),
    "nor does a loopback address": ("https://127.0.0.1:6443", {"HTTPS_PROXY": PROXY}, ""),
}  # fmt: skip


@pytest.mark.parametrize(("server", "environment", "proxy"), ROWS.values(), ids=ROWS.keys())
def test_the_proxy_is_chosen_as_programs_in_go_choose_it(server: str, environment: dict[str, str], proxy: str) -> None:
    assert proxy_for(server, environment) == proxy


def test_a_proxy_that_is_not_spoken_is_refused_with_what_to_write_instead() -> None:
    with pytest.raises(ProxyUnusableError, match=r"HTTPS_PROXY names a proxy of kind socks5.*http://host:port"):
        proxy_for(IN_CLUSTER, {"HTTPS_PROXY": "socks5://proxy:1080"})
