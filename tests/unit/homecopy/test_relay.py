"""The pod always says how its copy ended, and its log names no file of anybody."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from vmclone_operator.homecopy.answers import answers
from vmclone_operator.homecopy.job import CopyJob, Host, OnSecret
from vmclone_operator.homecopy.outcome import EXIT_CODES, RECEIPT_BYTES, Ended, receipt, refusal
from vmclone_operator.homecopy.relay import for_the_log, main
from vmclone_operator.homecopy.source.program import MARK

HOST = Host(address="192.0.2.1", port=22, user="dev", host_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA",))
JOB = CopyJob(source=HOST, clone=HOST, on_secret=OnSecret.FAIL)

REFUSED: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "description is refused"),
    "a list": ("[]", "description is refused"),
    "a field that is missing": ("{}", "'source'"),
    "a path out of the home": (json.dumps({**JOB.document(), "paths": ["../x"]}), "paths are relative to the home"),
}


def ended(folder: Path) -> tuple[int, dict[str, Any]]:
    code = main([str(folder / name) for name in ("job.json", "source_key", "clone_key", "termination")])
    return code, json.loads((folder / "termination").read_text())


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_description_that_is_refused_is_told_in_the_receipt(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "job.json").write_text(text)
    code, told = ended(tmp_path)
    assert (code, told["reason"]) == (EXIT_CODES[Ended.COPY_FAILED], "CopyFailed")
    assert says in told["message"]


def test_a_description_that_is_not_there_is_told_in_the_receipt(tmp_path: Path) -> None:
    code, told = ended(tmp_path)
    assert (code, told["reason"]) == (EXIT_CODES[Ended.COPY_FAILED], "CopyFailed")
    assert "job.json" in told["message"]


def test_a_key_that_is_not_there_is_told_in_the_receipt(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(JOB.document()))
    code, told = ended(tmp_path)
    assert (code, told["reason"]) == (EXIT_CODES[Ended.COPY_FAILED], "CopyFailed")
    assert told["message"]


def test_an_answer_that_was_cut_is_none() -> None:
    whole = f'{MARK}s {{"event": "scanning"}}\n'.encode()
    assert list(answers(io.BytesIO(whole + whole[:-4]), "s")) == [{"event": "scanning"}]


def test_a_refusal_for_secrets_sends_nobody_to_the_log() -> None:
    outcome = refusal(JOB, {"bytes": 1, "excluded": {"content": 2}})
    assert outcome is not None
    assert "2 ordinary files hold secrets" in outcome.message
    assert "log" not in outcome.message


FOUND = [{"path": f"notes/{number}.txt", "rule": "GitHub token"} for number in range(4)]


@pytest.mark.parametrize(
    ("found", "hits", "said"),
    [
        (FOUND[:1], 1, ": notes/0.txt (GitHub token); move"),
        (FOUND[:2], 2, ": notes/0.txt (GitHub token), notes/1.txt (GitHub token); move"),
        (FOUND, 40, "notes/2.txt (GitHub token) and 37 more; move"),
        ([{"path": "x" * 500 + "/notes.txt", "rule": "AWS key id"}], 1, "xx/notes.txt (AWS key id); move"),
        ([{"path": "a\nb\x1b[2J", "rule": "AWS key id"}], 1, ": a b [2J (AWS key id); move"),
        ([], 2, "2 ordinary files hold secrets; move"),
    ],
    ids=["one", "two", "only the first", "of a long path its end", "no control characters", "without names"],
)
def test_a_refusal_for_secrets_names_the_first_files_and_rules(
    found: list[dict[str, str]], hits: int, said: str
) -> None:
    outcome = refusal(JOB, {"bytes": 1, "excluded": {"content": hits}, "found": found})
    assert outcome is not None
    assert said in outcome.message


def test_names_in_any_script_leave_the_receipt_whole() -> None:
    found = [{"path": "\U0001f600" * 120, "rule": "GitHub token"}] * 3
    outcome = refusal(JOB, {"bytes": 1, "excluded": {"content": 3}, "found": found})
    assert outcome is not None
    text = receipt(outcome, JOB)
    assert len(text.encode()) <= RECEIPT_BYTES
    assert "set onSecretFound: Skip" in json.loads(text)["message"]


@pytest.mark.parametrize(("end", "named"), [(Ended.SECRET_FOUND, False), (Ended.COPY_FAILED, True)], ids=["it", "no"])
def test_the_log_names_no_file_that_holds_a_secret(end: Ended, named: bool) -> None:
    assert ("message" in for_the_log({"reason": end.value, "message": "notes/1.txt"}, end)) is named
