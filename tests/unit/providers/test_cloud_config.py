"""The user's cloud-config joins ours and can neither take anything of it back nor break out of its place."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from vmclone_operator.domain.backend import Mode, Seed
from vmclone_operator.domain.errors import CloneFailed
from vmclone_operator.providers import cloud_config, seed

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 dev@example"
HOST_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n"
HOST_PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA clone"


def clean_seed(extra: dict[str, object] | None = None, *, user: str = "dev") -> Seed:
    return Seed(
        instance_id="i-1",
        hostname="dev-2-5b1d5f",
        user=user,
        authorized_keys=(KEY,),
        host_key=HOST_KEY,
        host_public_key=HOST_PUBLIC_KEY,
        extra=extra or {},
    )


def user_data(extra: dict[str, object] | None = None, *, user: str = "dev") -> dict[str, object]:
    return cloud_config.clean_user_data(clean_seed(extra, user=user))


def test_the_seed_is_a_cloud_config_of_this_instance() -> None:
    files = seed.seed_files(clean_seed(), Mode.CLEAN)
    head, _, body = files["user-data"].partition(b"\n")
    assert (head, json.loads(body)) == (b"#cloud-config", user_data())
    assert json.loads(files["meta-data"]) == {"instance-id": "i-1", "local-hostname": "dev-2-5b1d5f"}


def test_the_account_is_the_images_own_under_our_name() -> None:
    """Its groups, sudo and shell are the image's; an entry in `users` would have none of them."""
    made = user_data()
    assert made["users"] == ["default"]
    assert made["user"] == {"name": "dev", "lock_passwd": True, "ssh_authorized_keys": [KEY]}


def test_without_a_user_the_images_account_gets_the_keys() -> None:
    made = user_data(user="")
    assert (made["users"], made["ssh_authorized_keys"], "user" in made) == (["default"], [KEY], False)


def test_the_host_key_is_ours_and_no_other_is_made() -> None:
    made = user_data()
    assert made["ssh_keys"] == {"ed25519_private": HOST_KEY, "ed25519_public": HOST_PUBLIC_KEY}
    assert (made["ssh_deletekeys"], made["ssh_genkeytypes"]) == (True, [])


def test_without_a_host_key_the_image_makes_its_own_kinds() -> None:
    made = cloud_config.clean_user_data(Seed(instance_id="i", hostname="h"))
    assert not {"ssh_keys", "ssh_genkeytypes"} & made.keys()


@pytest.mark.parametrize(
    ("extra", "key", "expected"),
    [
        pytest.param({"hostname": "mine"}, "hostname", "dev-2-5b1d5f", id="our hostname stands"),
        pytest.param({"preserve_hostname": True}, "preserve_hostname", False, id="the hostname cannot be kept"),
        pytest.param({"ssh_deletekeys": False}, "ssh_deletekeys", True, id="the image's keys go"),
        pytest.param({"package_update": True}, "package_update", True, id="what we say nothing about is theirs"),
        pytest.param({"runcmd": [["ls"]]}, "runcmd", [["ls"]], id="a list of theirs alone stays as it is"),
        pytest.param({"growpart": {"mode": "off"}}, "growpart", {"mode": "off"}, id="a mapping of theirs alone too"),
        pytest.param({"users": None}, "users", ["default"], id="an empty key says nothing"),
        pytest.param(
            {"users": ["default", {"name": "x"}]}, "users", ["default", {"name": "x"}], id="lists: ours, then theirs"
        ),
        pytest.param(
            {"users": [{"name": "dev", "sudo": False}, {"name": "x"}]},
            "users",
            ["default", {"name": "x"}],
            id="our account is not listed again, where it would win",
        ),
        pytest.param(
            {"ssh_keys": {"ed25519_private": "theirs", "rsa_private": "r"}},
            "ssh_keys",
            {"ed25519_private": HOST_KEY, "ed25519_public": HOST_PUBLIC_KEY, "rsa_private": "r"},
            id="mappings: key by key, ours stands",
        ),
    ],
)
def test_the_users_part_is_merged_under_ours(extra: dict[str, object], key: str, expected: object) -> None:
    assert user_data(extra)[key] == expected


def test_what_the_user_says_of_our_account_is_merged_under_ours() -> None:
    account = {"name": "dev", "shell": "/bin/zsh", "lock_passwd": False, "ssh_authorized_keys": ["ssh-rsa B"]}
    assert user_data({"users": [account]})["user"] == {
        "name": "dev",
        "shell": "/bin/zsh",
        "lock_passwd": True,
        "ssh_authorized_keys": [KEY, "ssh-rsa B"],
    }


def test_text_that_looks_like_markup_stays_text() -> None:
    hostile = "x\n--- \n#cloud-config\nhostname: evil\n"
    body = seed.seed_files(clean_seed({"note": hostile}), Mode.CLEAN)["user-data"].partition(b"\n")[2]
    assert json.loads(body)["note"] == hostile
    assert body.count(b"\n") == 1


def _endless() -> dict[str, object]:
    extra: dict[str, object] = {}
    extra["again"] = extra
    return extra


def _swollen() -> dict[str, object]:
    value: object = ["lol"] * 10
    for _ in range(8):
        value = [value] * 10
    return {"lols": value}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        pytest.param({"users": "dev,ops"}, "text as users, where a list is needed", id="users as text"),
        pytest.param({"users": {"dev": {}}}, "mapping as users, where a list", id="users as a mapping"),
        pytest.param({"ssh_keys": ["x"]}, "list as ssh_keys, where a mapping", id="keys as a list"),
        pytest.param({"user": "bob"}, "text as user, where a mapping", id="the user as text"),
        pytest.param({"users": [{"name": "dev"}], "user": 1}, "number as user, where", id="both ways at once"),
        pytest.param({"a": {"b": [dt.date(2026, 1, 1)]}}, r"date as a.b\[0\]: put", id="a date"),
        pytest.param({"a": b"x"}, "bytes as a: put", id="binary data"),
        pytest.param({"a": {1: "x"}}, "key below a that is no text", id="a number as a key"),
        pytest.param({"a": float("nan")}, "no number as a: put", id="not a number"),
        pytest.param(_endless(), "too large or too deep", id="a document that contains itself"),
        pytest.param(_swollen(), "too large or too deep", id="a billion laughs"),
    ],
)
def test_what_cannot_be_carried_over_is_refused_with_a_sentence(extra: dict[str, object], words: str) -> None:
    with pytest.raises(CloneFailed, match=words):
        user_data(extra)
