"""The operator's settings, read once from flags and environment in `main`; nobody else reads either."""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vmclone_operator.homecopy.pod_place import PodPlace, read_place
from vmclone_operator.kube.lease import LeaseTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that may differ between installations."""

    namespace: str
    """The operator's own namespace: its Lease and the credential Secrets live there."""
    identity: str
    """This process, in the Lease."""
    instance: str
    """What stamps carry; empty means the uid of the namespace."""
    workers: int
    resync_seconds: float
    relist_seconds: float
    metrics_port: int
    """Where /metrics, /healthz and /readyz are served; 0: nowhere."""
    home_copy_image: str
    """The image of home-copy Jobs; empty: home copies are refused with a sentence."""
    home_copy_staging_size: str
    """The most that a staged copy may hold on its volume, as a Kubernetes quantity."""
    home_copy_pods: PodPlace
    """Where the pods of home copies run, and with how much."""
    allow_fake: bool
    """Whether CloneBackends of kind fake may be used: for tests and benchmarks."""
    log_level: str
    watch_namespaces: tuple[str, ...] = ()
    """Where users' objects are watched; empty: in all namespaces."""
    log_format: str = "json"
    """json, or text for a person who reads along."""
    lease: LeaseTimes = field(default_factory=LeaseTimes)
    """How long the Lease counts, when its holder gives up, how often it is renewed."""


_HIGHEST_PORT = 65535
_LONGEST_LEASE_SECONDS = 60
_LEAST_RETRIES = 3
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return the settings; a flag beats its environment variable (VMCLONE_...)."""
    parser = argparse.ArgumentParser(prog="vmclone-operator", description="Keeps VMClones true.")
    for flag, kind, default, meaning in _FLAGS:
        variable = "VMCLONE_" + flag.replace("-", "_").upper()
        value = environment.get(variable, default)
        parser.add_argument(f"--{flag}", type=kind, default=value, help=f"{meaning} [{variable}]")
    parser.add_argument("--allow-fake", action="store_true", help="allow CloneBackends of kind fake (tests only)")
    given = parser.parse_args(arguments)
    lease = LeaseTimes(
        duration=given.lease_seconds, deadline=given.lease_deadline_seconds, retry=given.lease_retry_seconds
    )
    if problem := _wrong_times(lease):
        parser.error(problem)
    return Settings(
        namespace=given.namespace,
        identity=given.identity,
        instance=given.instance,
        workers=given.workers,
        resync_seconds=given.resync_seconds,
        relist_seconds=given.relist_seconds,
        metrics_port=given.metrics_port,
        home_copy_image=given.home_copy_image,
        home_copy_staging_size=given.home_copy_staging_size,
        home_copy_pods=given.home_copy_pods,
        allow_fake=given.allow_fake,
        log_level=given.log_level,
        watch_namespaces=given.watch_namespaces,
        log_format=given.log_format,
        lease=lease,
    )


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1; write for example 16")
    return int(text)


def _seconds(text: str) -> float:
    return float(_count(text))


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write for example 8080, or 0 for none")
    return int(text)


def _pods(text: str) -> PodPlace:
    try:
        return read_place(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def namespace_names(text: str) -> tuple[str, ...]:
    """Return the namespaces of a list with commas; raises ArgumentTypeError for what is no name of one."""
    names = tuple(sorted({name.strip() for name in text.split(",") if name.strip()}))
    for name in names:
        if not _NAMESPACE.fullmatch(name):
            raise argparse.ArgumentTypeError(f"{name!r} is no name of a namespace; write for example team-a,team-b")
    return names


def _wrong_times(lease: LeaseTimes) -> str:
    """Return what is wrong with the times of the Lease, or an empty string.

    A holder that gives up after the Lease counts would work beside its successor; a minute is what the probes grant.
    """
    if not _LEAST_RETRIES * lease.retry <= lease.deadline < lease.duration <= _LONGEST_LEASE_SECONDS:
        return (
            f"a Lease of {lease.duration:.0f} s that is renewed every {lease.retry:.0f} s and given up after "
            f"{lease.deadline:.0f} s does not hold: write --lease-seconds of at most {_LONGEST_LEASE_SECONDS}, less "
            f"for --lease-deadline-seconds, and a third of that or less for --lease-retry-seconds, like 30, 20 and 4"
        )
    return ""


def _format(text: str) -> str:
    if text not in {"json", "text"}:
        raise argparse.ArgumentTypeError(f"{text!r} is no format of logs; write json or text")
    return text


def _level(text: str) -> str:
    if text not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise argparse.ArgumentTypeError(f"{text!r} is no level; write DEBUG, INFO, WARNING or ERROR")
    return text


_FLAGS: tuple[tuple[str, Callable[[str], object], str, str], ...] = (
    ("namespace", str, "vmclone-system", "the operator's own namespace"),
    ("identity", str, f"{socket.gethostname()}-{os.getpid()}", "this process, as the Lease names it"),
    ("instance", str, "", "what stamps carry; default: uid of the namespace"),
    ("workers", _count, "16", "passes that run side by side"),
    ("resync-seconds", _seconds, "300", "seconds between two comparisons with the backends"),
    ("relist-seconds", _seconds, "600", "seconds between two live lists"),
    ("metrics-port", _port, "0", "port of /metrics, /healthz and /readyz; 0 serves none"),
    ("home-copy-image", str, "", "image of home-copy Jobs"),
    ("home-copy-staging-size", str, "50Gi", "the most that a staged home copy may hold on its volume"),
    ("home-copy-pods", _pods, "{}", "resources, imagePullSecrets, nodeSelector, ... of home-copy Jobs, as JSON"),
    ("watch-namespaces", namespace_names, "", "namespaces of VMClones, with commas between; empty: all"),
    ("log-level", _level, "INFO", "DEBUG, INFO, WARNING or ERROR"),
    ("log-format", _format, "json", "json, or text to be read by a person"),
    ("lease-seconds", _seconds, "30", "seconds for which the Lease counts after a renewal"),
    ("lease-deadline-seconds", _seconds, "20", "seconds after which a leader that can not renew it stops"),
    ("lease-retry-seconds", _seconds, "4", "seconds between two renewals"),
)
