"""What VMClone and VMCloneReplica must accept and refuse when they are created."""

from __future__ import annotations

from tests.integration.api.rows import ABSENT, Row, keys, number

ONE_SOURCE = "source needs exactly one of name and session: the name of a CloneSource, or the session of a clone"
VMCLONE = {
    "source is needed": Row(kind="VMClone", refused={"spec.source": ABSENT}, at="spec.source", says="Required value"),
    "source without a name": Row(
        kind="VMClone", refused={"spec.source.name": ""}, at="spec.source.name", says="at least 1 chars long"
    ),
    **number("VMClone", "spec.replicas", 0, 100),
    **number("VMClone", "spec.rollout.maxInFlight", 1, 100),
    **keys("VMClone", "spec.access.authorizedKeys"),
    "a prefix in capitals": Row(
        kind="VMClone",
        accepted={"spec.sessionPrefix": "d"},
        refused={"spec.sessionPrefix": "Dev"},
        at="spec.sessionPrefix",
        says="should match",
    ),
    "a prefix that ends with a dash": Row(
        kind="VMClone",
        accepted={"spec.sessionPrefix": "d-1"},
        refused={"spec.sessionPrefix": "dev-"},
        at="spec.sessionPrefix",
        says="should match",
    ),
    "a prefix of 41 characters": Row(
        kind="VMClone",
        accepted={"spec.sessionPrefix": "a" * 40},
        refused={"spec.sessionPrefix": "a" * 41},
        at="spec.sessionPrefix",
        says="may not be more than 40",
    ),
    "a name that cannot be a prefix": Row(
        kind="VMClone",
        accepted={"metadata.name": "9.dev", "spec.sessionPrefix": "dev"},
        refused={"metadata.name": "9.dev"},
        at="",
        says="sessions are named after metadata.name unless spec.sessionPrefix is there: set it, for example to dev "
        "(at most 40 lowercase letters, digits and dashes, the first a letter)",
    ),
    "a name of 41 characters without prefix": Row(
        kind="VMClone",
        accepted={"metadata.name": "a" * 40},
        refused={"metadata.name": "a" * 41},
        at="",
        says="set it, for example to dev",
    ),
    "a name of 64 characters": Row(
        kind="VMClone",
        accepted={"metadata.name": "a" * 63, "spec.sessionPrefix": "dev"},
        refused={"metadata.name": "a" * 64, "spec.sessionPrefix": "dev"},
        at="",
        says="metadata.name needs 63 characters or less: everything made for a VMClone carries it as a label",
    ),
    "a backend name that no object can have": Row(
        kind="VMClone",
        accepted={"spec.backend.name": "lab"},
        refused={"spec.backend.name": "Lab"},
        at="spec.backend.name",
        says="should match",
    ),
    "an unknown mode": Row(
        kind="VMClone",
        accepted={"spec.mode": "Disk"},
        refused={"spec.mode": "Magic"},
        at="spec.mode",
        says='supported values: "Disk"',
    ),
    "an unknown way to copy": Row(
        kind="VMClone",
        accepted={"spec.disk.copy": "Full"},
        refused={"spec.disk.copy": "linked"},
        at="spec.disk.copy",
        says='supported values: "Auto", "Linked", "Full"',
    ),
    "an unknown consistency": Row(
        kind="VMClone",
        accepted={"spec.disk.consistency": "PoweredOff"},
        refused={"spec.disk.consistency": "Perfect"},
        at="spec.disk.consistency",
        says='supported values: "Quiesced", "CrashConsistent", "PoweredOff"',
    ),
    "a path as pool of a clone's disks": Row(
        kind="VMClone",
        accepted={"spec.disk.pool": "fast-2"},
        refused={"spec.disk.pool": "../images"},
        at="spec.disk.pool",
        says="should match",
    ),
    "an unknown way to switch the source": Row(
        kind="VMClone",
        accepted={"spec.sourcePower": "StopForClone"},
        refused={"spec.sourcePower": "Reboot"},
        at="spec.sourcePower",
        says='supported values: "Keep", "StartForCopy", "StopForClone"',
    ),
    "an unknown plan mode": Row(
        kind="VMClone",
        accepted={"spec.plan.mode": "DryRun"},
        refused={"spec.plan.mode": "Maybe"},
        at="spec.plan.mode",
        says='supported values: "Auto", "Manual", "DryRun"',
    ),
    "a source by name and by session": Row(
        kind="VMClone",
        accepted={"spec.source": {"session": "dev-2"}},
        refused={"spec.source": {"name": "golden-dev", "session": "dev-2"}},
        at="spec.source",
        says=ONE_SOURCE,
    ),
    "a source that is nothing": Row(
        kind="VMClone",
        refused={"spec.source": {}},
        at="spec.source",
        says=ONE_SOURCE,
    ),
    "a session in capitals": Row(
        kind="VMClone",
        accepted={"spec.source": {"session": "dev"}},
        refused={"spec.source": {"session": "Dev"}},
        at="spec.source.session",
        says="should match",
    ),
    "paused as a word": Row(
        kind="VMClone",
        accepted={"spec.paused": True},
        refused={"spec.paused": "yes"},
        at="spec.paused",
        says='must be of type boolean: "string"',
    ),
    "replicas as a word": Row(
        kind="VMClone", refused={"spec.replicas": "3"}, at="spec.replicas", says='must be of type integer: "string"'
    ),
}
REPLICA = {
    "a replica number 0": Row(
        kind="VMCloneReplica", refused={"spec.ordinal": 0}, at="spec.ordinal", says="greater than or equal to 1"
    ),
    "a replica number above 100": Row(
        kind="VMCloneReplica",
        accepted={"metadata.name": "dev-100", "spec.ordinal": 100},
        refused={"metadata.name": "dev-101", "spec.ordinal": 101},
        at="spec.ordinal",
        says="less than or equal to 100",
    ),
    "a replica under another number": Row(
        kind="VMCloneReplica",
        accepted={"metadata.name": "dev-2", "spec.ordinal": 2},
        refused={"metadata.name": "dev-12", "spec.ordinal": 2},
        at="",
        says="metadata.name needs the form <vmclone>-<ordinal>, with the number in spec.ordinal",
    ),
    "a replica without the name of its vmclone": Row(
        kind="VMCloneReplica",
        accepted={"metadata.name": "d-1"},
        refused={"metadata.name": "1"},
        at="",
        says="metadata.name needs the form <vmclone>-<ordinal>, with the number in spec.ordinal",
    ),
    "a uid that is none": Row(
        kind="VMCloneReplica", refused={"spec.vmCloneUID": "x y"}, at="spec.vmCloneUID", says="should match"
    ),
    "a session longer than a hostname": Row(
        kind="VMCloneReplica",
        accepted={"spec.session": "a" * 63},
        refused={"spec.session": "a" * 64},
        at="spec.session",
        says="may not be more than 63",
    ),
}
