"""What a VMClone must accept and refuse of its template, and of how it may change."""

from __future__ import annotations

from tests.integration.api.rows import Row, number

KEY_FORM = "every key in labels needs the form of a label key, for example example.com/team"
OURS = (
    "labels under vmclone.dev/, app.kubernetes.io/ and argocd.argoproj.io/ have a meaning of their own; "
    "choose another prefix, for example example.com/team"
)


def word(at: str, accepted: str, refused: str, says: str) -> Row:
    """Return the row of one field of a VMClone that takes some texts and refuses others."""
    return Row(kind="VMClone", accepted={at: accepted}, refused={at: refused}, at=at, says=says)


def labels(kind: str) -> dict[str, Row]:
    """Return the rows of the keys of a template's labels."""
    at = "spec.template.labels"

    def row(accepted: str, refused: str, says: str) -> Row:
        return Row(kind=kind, accepted={at: {accepted: "a"}}, refused={at: {refused: "a"}}, at=at, says=says)

    return {
        "a label that is no key": row("team", "te am", KEY_FORM),
        "a label of ours": row("example.com/team", "vmclone.dev/ordinal", OURS),
        "a label that Argo CD would prune by": row("app", "app.kubernetes.io/instance", OURS),
    }


def paths(accepted: list[str], refused: list[str]) -> Row:
    """Return the row of what is copied of a home."""
    at, says = "spec.homeCopy.paths", "paths stay inside the home: write them without .. in them"
    return Row(kind="VMClone", accepted={at: accepted}, refused={at: refused}, at=at, says=says)


def bandwidth(accepted: str, refused: str) -> Row:
    """Return the row of how fast a home is copied."""
    says = "a bandwidthLimit is bytes per second: write at least 64Ki, for example 50Mi"
    return word("spec.homeCopy.bandwidthLimit", accepted, refused, says)


LONGEST = "write a timeout of at most 24h; a copy goes on where it ended"
NETWORKS = "spec.template.networks"
CHANGE = {
    **labels("VMClone"),
    **number("VMClone", "spec.template.cpus", 1, 512),
    **number("VMClone", "spec.rollout.maxUnavailable", 1, 100),
    **number("VMClone", "spec.retry.maxAttempts", 0, 1000),
    "an unknown power": word("spec.template.power", "Off", "off", 'supported values: "On", "Off"'),
    "memory without a unit": word("spec.template.memory", "8Gi", "8", "should match"),
    "memory with a fraction": word("spec.template.memory", "1536Mi", "1.5Gi", "should match"),
    "a network with a slash": Row(
        kind="VMClone",
        accepted={NETWORKS: ["lan", "br0.12"]},
        refused={NETWORKS: ["../lan"]},
        at=f"{NETWORKS}[0]",
        says="should match",
    ),
    "nine networks": Row(
        kind="VMClone",
        accepted={NETWORKS: ["lan"] * 8},
        refused={NETWORKS: ["lan"] * 9},
        at=NETWORKS,
        says="must have at most 8 items",
    ),
    "an unknown way to update": word("spec.rollout.update", "Recreate", "Rolling", '"OnDelete", "Recreate"'),
    "an unknown way to scale down": word("spec.rollout.scaleDown", "Marked", "Oldest", '"Newest", "Marked"'),
    "an unknown way to delete": word("spec.deletion.onDelete", "Orphan", "Keep", '"Delete", "Orphan"'),
    "an unknown way to let go": word("spec.deletion.onScaleDown", "Orphan", "Keep", '"Delete", "Orphan"'),
    "a wait without a unit": word("spec.retry.backoff", "1m30s", "90", "should match"),
    "a longest wait in words": word("spec.retry.maxBackoff", "1h", "1 hour", "should match"),
    "a timeout in days": word("spec.timeouts.clone", "48h", "2d", "should match"),
    "a negative timeout": word("spec.timeouts.boot", "500ms", "-5m", "should match"),
    "a bandwidth with which no copy ends": bandwidth("64Ki", "65535"),
    "a bandwidth in thousands that is too small": bandwidth("66k", "65k"),
    "a copy that may take days": word("spec.homeCopy.timeout", "23h60m", "24h1s", LONGEST),
    "a path that leaves the home": paths(["a..b/..c", "..."], ["a/../../b"]),
    "the folder above the home": paths([".", "a/./b"], [".."]),
    "an end in days": word("spec.expireAfter", "72h", "3d", "should match"),
}
