"""What users and owners say about homes, and the receipt of a copy: shared by the three kinds that speak of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from vmclone_operator.api.base import ApiModel, SecretRef, ShortText, Timestamp, cel, rules

_ATOMIC = {"x-kubernetes-list-type": "atomic"}
QUANTITY_PATTERN = r"^[1-9][0-9]{0,14}(Ki|Mi|Gi|Ti|k|M|G|T)?$"
DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
RELATIVE_PATTERN = r"^[^/\x00]([^\x00]*)$"

_KEY_PATTERN = r"^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,3}( [^\n\r]*)?$"
# The API server alone judges by the pattern: one that was stored while it allowed more must not end every pass over
# its object, a deletion's too. Who gives a key to a guest checks it again.
PublicKey = Annotated[str, Field(min_length=16, max_length=8192, json_schema_extra={"pattern": _KEY_PATTERN})]
HostKey = Annotated[
    str,
    Field(
        min_length=32,
        max_length=2048,
        pattern=r"^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*$",
    ),
]
Pattern = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\n\r\x00]+$")]
Quantity = Annotated[str, Field(max_length=20, pattern=QUANTITY_PATTERN)]
Duration = Annotated[str, Field(min_length=2, max_length=32, pattern=DURATION_PATTERN)]
Bandwidth = Annotated[
    Quantity,
    Field(
        json_schema_extra=rules(
            cel(
                "!isQuantity(self) || quantity(self).compareTo(quantity('64Ki')) >= 0",
                "a bandwidthLimit is bytes per second: write at least 64Ki, for example 50Mi",
            )
        )
    ),
]
CopyTimeout = Annotated[
    Duration,
    Field(
        json_schema_extra=rules(
            cel("duration(self) <= duration('24h')", "write a timeout of at most 24h; a copy goes on where it ended")
        )
    ),
]
_INSIDE = rules(
    cel(
        "self.all(path, !path.matches('(^|/)[.][.](/|$)'))", "paths stay inside the home: write them without .. in them"
    )
)
Address = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z0-9:]([-A-Za-z0-9.:]{0,251}[A-Za-z0-9:])?$",
        json_schema_extra=rules(
            cel(
                "!self.contains(':') || isIP(self)",
                "an address is a host name or an IP address; write a port into port",
            )
        ),
    ),
]


class HomeSpec(ApiModel):
    """The home directory, its user, and how the operator reaches it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.sshKeySecretRef) || (has(self.knownHosts) && size(self.knownHosts) > 0)",
                "sshKeySecretRef needs knownHosts: write the source's public host key, for example as"
                " ssh-keyscan -t ed25519 shows it, without the host's name",
            ),
        )
    )

    user: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z_][a-z0-9_-]*$")]
    """The user whose home it is; people log in to clones as this user."""
    path: Annotated[str | None, Field(max_length=1024, pattern=r"^/[^\n\r\x00]*$")] = None
    """The home's absolute path on the source. Default: the user's own."""
    address: Address | None = None
    """Where the source's sshd is reached. Default: the address that its guest agent tells."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """Port of the source's sshd (default 22)."""
    ssh_key_secret_ref: SecretRef | None = None
    """A Secret in the operator's namespace whose ssh-privatekey may log in to the source as this user."""
    known_hosts: Annotated[tuple[HostKey, ...], Field(max_length=8, json_schema_extra=_ATOMIC)] = ()
    """The source's public host keys; a copy from a host with another one is stopped."""
    excludes: Annotated[tuple[Pattern, ...], Field(max_length=64, json_schema_extra=_ATOMIC)] = ()
    """rsync patterns that are left out beside the floor."""
    allow: Annotated[tuple[Pattern, ...], Field(max_length=64, json_schema_extra=_ATOMIC)] = ()
    """Exceptions from the floor, as paths relative to the home; every receipt records them."""
    transfer: Literal["Stream", "Staged"] = "Stream"
    """Stream (default): from source to clone through the Job's pod. Staged: over a volume, where forwarding is off."""
    authorized_keys: Annotated[tuple[PublicKey, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """Public keys that may log in to clones whose VMClone names none."""


class HomeCopySpec(ApiModel):
    """How the home is carried over in mode Clean; in mode Disk only for refreshes."""

    policy: Literal["Copy", "Skip"] = "Copy"
    """Copy (default) or Skip: the clone's home stays as the image has it."""
    paths: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=1024, pattern=RELATIVE_PATTERN)], ...],
        Field(min_length=1, max_length=32, json_schema_extra={**_ATOMIC, **_INSIDE}),
    ] = (".",)
    """What is copied, relative to the home (default: all of it)."""
    extra_excludes: Annotated[tuple[Pattern, ...], Field(max_length=64, json_schema_extra=_ATOMIC)] = ()
    """rsync patterns that are left out beside the floor, which nothing here can weaken."""
    on_secret_found: Literal["Skip", "Fail"] = "Skip"  # noqa: S105  - a policy
    """What a secret inside an ordinary file means. Skip (default): the file is left out and counted. Fail: no copy."""
    max_size: Quantity = "50Gi"
    """A larger home is refused before the copy (default 50Gi)."""
    bandwidth_limit: Bandwidth | None = None
    """Bytes per second of one copy, for example 50Mi; at least 64Ki. Default: no limit."""
    timeout: CopyTimeout = "4h"
    """How long one attempt may take (default 4h, at most 24h); the next goes on where it ended."""
    refresh: Literal["Never", "OnRequest"] = "Never"
    """OnRequest: the annotation vmclone.dev/sync-requested-at has the home copied again into ready clones."""


class FilterStatus(ApiModel):
    """Which filter decides what stays behind."""

    version: ShortText = ""
    """Version of the rules."""
    digest: ShortText = ""
    """sha256 of the rules."""


class HomeCopyStatus(ApiModel):
    """The receipt of the last copy."""

    files: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Files that the copy holds."""
    bytes: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Their bytes."""
    sent_bytes: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Bytes that the last attempt sent."""
    excluded: Annotated[dict[str, Annotated[int, Field(ge=0, le=2**53)]], Field(max_length=64)] = {}  # noqa: RUF012 - frozen
    """Files and folders that were left out, by rule."""
    unreadable: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Files that the user may not read on the source; not copied."""
    skipped: Annotated[dict[str, Annotated[int, Field(ge=0, le=2**53)]], Field(max_length=64)] = {}  # noqa: RUF012 - frozen
    """Entries that no rule keeps back and that were not copied: Vanished, Changed, Unreadable, TooDeep."""
    allowed: Annotated[
        tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=32, json_schema_extra=_ATOMIC)
    ] = ()
    """Files that the filter would have left out and the source's owner allows."""
    other_file_systems: Annotated[
        tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=32, json_schema_extra=_ATOMIC)
    ] = ()
    """Mounts inside the home that were left out."""
    filter: FilterStatus = FilterStatus()
    """The filter that decided."""
    completion_time: Timestamp = ""
    """When the copy was done."""
    attempts: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Attempts it took so far, refreshes included."""
    handled_sync_at: Annotated[str, Field(max_length=128)] = ""
    """Echo of the annotation vmclone.dev/sync-requested-at that was handled last."""
