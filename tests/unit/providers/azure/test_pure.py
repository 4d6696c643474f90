"""What the Azure adapter decides without Azure: errors, names and tags, quarantine, packed scripts."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from tests.unit.providers.azure.site import NAME, OWNER, STAMP

from vmclone_operator.domain.backend import Owner
from vmclone_operator.domain.errors import (
    BackendUnreachable,
    CapabilityMissing,
    CloneError,
    CloneFailed,
    CredentialsInvalid,
    ImageNotFound,
    InsufficientSpace,
    NotAuthorized,
    QuiesceFailed,
    RetryLater,
)
from vmclone_operator.providers.azure.clones import quarantine
from vmclone_operator.providers.azure.guest import packed
from vmclone_operator.providers.azure.names import (
    clone_tags,
    disk_name,
    frozen_name,
    frozen_tags,
    is_frozen_of,
    is_refused_as_tag,
    read_stamp,
    users_tags,
    without_stamp,
)
from vmclone_operator.providers.azure.translate import refused

QUOTA = "Operation could not be completed as it results in exceeding approved Total Regional Cores quota."
ANSWERS: dict[str, tuple[int, str, str, type[CloneError]]] = {
    "a throttle": (429, "TooManyRequests", "", RetryLater),
    "a throttle of ARM": (429, "SubscriptionRequestsThrottled", "", RetryLater),
    "a throttle of Compute": (429, "OperationNotAllowed", "too many requests have been received", RetryLater),
    "a lock of Network, which is no throttle": (429, "RetryableErrorDueToAnotherOperation", "", RetryLater),
    "another write": (409, "Conflict", "", RetryLater),
    "an operation that runs": (409, "AnotherOperationInProgress", "", RetryLater),
    "a card that is kept": (400, "NicReservedForAnotherVm", "", RetryLater),
    "a server that failed": (500, "InternalServerError", "", BackendUnreachable),
    "a service that is away": (503, "", "", BackendUnreachable),
    "a quota": (409, "OperationNotAllowed", QUOTA, InsufficientSpace),
    "no machine": (409, "AllocationFailed", "", InsufficientSpace),
    "no machine in the zone": (409, "ZonalAllocationFailed", "", InsufficientSpace),
    "a size that is not offered": (409, "SkuNotAvailable", "", CapabilityMissing),
    "a right that lacks": (403, "AuthorizationFailed", "", NotAuthorized),
    "a right on something named": (403, "LinkedAuthorizationFailed", "", NotAuthorized),
    "a token that is not taken": (401, "ExpiredAuthenticationToken", "", CredentialsInvalid),
    "an image that is not there": (404, "PlatformImageNotFound", "", ImageNotFound),
    "an agent that does not answer": (400, "VMAgentStatusCommunicationError", "", QuiesceFailed),
    "a parameter": (400, "InvalidParameter", "Parameter 'osProfile' is not allowed.", CloneFailed),
    "what nobody has seen yet": (418, "Teapot", "short and stout", CloneFailed),
}


@pytest.mark.parametrize(("status", "code", "message", "kind"), ANSWERS.values(), ids=ANSWERS)
def test_azure_says(status: int, code: str, message: str, kind: type[CloneError]) -> None:
    error = refused(status, code, message)
    assert type(error) is kind
    assert code in str(error)


def test_a_wait_is_as_long_as_azure_says_and_that_for_a_kept_card_three_minutes() -> None:
    throttled, kept = refused(429, "TooManyRequests", "", 42), refused(400, "NicReservedForAnotherVm", "")
    assert isinstance(throttled, RetryLater)
    assert isinstance(kept, RetryLater)
    short = refused(429, "TooManyRequests", "", 5)
    assert isinstance(short, RetryLater)
    assert short.retry_after.total_seconds() == 30, "a pass needs more than the one request that is taken then"
    waits = (throttled.retry_after.total_seconds(), kept.retry_after.total_seconds())
    assert waits == (42, 180)


def test_a_text_of_azure_is_one_line_and_not_endless() -> None:
    text = str(refused(400, "InvalidParameter", "a\nb " + "c" * 5000))
    assert ("\n" in text, len(text) < 1100) == (False, True)


def test_tags_carry_the_whole_stamp_with_names_and_values_that_azure_takes() -> None:
    tags = clone_tags(STAMP, "c1", "x" * 1000)
    assert read_stamp(tags) == (STAMP, "c1")
    assert not any(character in name for name in tags for character in "<>%&\\?/")
    assert max(map(len, tags.values())) <= 256


@pytest.mark.parametrize("lost", [name for name in clone_tags(STAMP, "c1") if name != "vmclone-made-from"])
def test_a_stamp_that_lost_a_tag_is_none(lost: str) -> None:
    tags = clone_tags(STAMP, "c1")
    assert read_stamp({name: value for name, value in tags.items() if name != lost}) is None
    assert read_stamp({**tags, "vmclone-incarnation": ""}) is None


def test_labels_are_tags_with_names_that_azure_takes_and_never_of_the_stamp() -> None:
    labels = {"example.com/team": "a", "cost": "42", "vmclone-uid": "x", "azure-x": "y", "Microsoft.com/z": "z"}
    assert users_tags(labels) == {"example.com_team": "a", "cost": "42"}
    assert sorted(label for label in labels if is_refused_as_tag(label)) == [
        "Microsoft.com/z",
        "azure-x",
        "vmclone-uid",
    ]


def test_a_disowned_clone_keeps_the_tags_of_others() -> None:
    assert without_stamp(clone_tags(STAMP, "c1") | {"cost": "42"}) == {"cost": "42"}


def test_a_frozen_point_is_its_owners_and_a_clones_tags_are_no_frozen_points() -> None:
    tags = frozen_tags(STAMP.instance, STAMP.vmclone_uid, "f1")
    assert is_frozen_of(tags, OWNER)
    assert is_frozen_of(tags, Owner(instance=STAMP.instance))
    assert not is_frozen_of(tags, replace(OWNER, vmclone_uid="another"))
    assert not is_frozen_of(tags, replace(OWNER, instance="another"))
    assert not is_frozen_of(clone_tags(STAMP, "c1"), OWNER)


def test_names_fit_azures_80_characters() -> None:
    longest = frozen_name(STAMP.instance, STAMP.vmclone_uid, "f" * 12)
    assert len(f"{longest}-99") <= 80
    assert disk_name(NAME, 0) == f"{NAME}-disk-0"


def test_quarantine_denies_all_and_lets_the_agent_out_only_when_asked() -> None:
    strict = {(one["properties"]["direction"], one["properties"]["access"]) for one in quarantine(agent_traffic=False)}
    assert strict == {("Inbound", "Deny"), ("Outbound", "Deny")}
    out = [one["properties"] for one in quarantine(agent_traffic=True) if one["properties"]["access"] == "Allow"]
    assert [(one["direction"], one["destinationAddressPrefix"], one["destinationPortRange"]) for one in out] == [
        ("Outbound", "AzureCloud", "443")
    ]


AWKWARD = "'\"$(touch no)`x`\\ EOF\nVMCLONE_\n\tend"


@pytest.mark.parametrize("stdin", ["", "plain\n", AWKWARD, "x" * 70_000], ids=["none", "plain", "awkward", "70 kB"])
def test_a_packed_script_runs_in_bash_with_its_input_as_it_was(stdin: str) -> None:
    script = packed('cat; printf %s "$0" >&2; exit 7', stdin)
    ran = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, stdin, "sh")
