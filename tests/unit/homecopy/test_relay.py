"""The pod always says how its copy ended, and its log names no file of anybody."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from vmclone_operator.homecopy.answers import answers
from vmclone_operator.homecopy.job import CopyJob, Host, OnSecret
from vmclone_operator.homecopy.outcome import EXIT_CODES, Ended, refusal
from vmclone_operator.homecopy.relay import main
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
    code, receipt = ended(tmp_path)
    assert (code, receipt["reason"]) == (EXIT_CODES[Ended.COPY_FAILED], "CopyFailed")
    assert says in receipt["message"]


def test_a_description_that_is_not_there_is_told_in_the_receipt(tmp_path: Path) -> None:
    code, receipt = ended(tmp_path)
    assert (code, receipt["reason"]) == (EXIT_CODES[Ended.COPY_FAILED], "CopyFailed")
    assert "job.json" in receipt["message"]


def test_a_key_that_is_not_there_is_told_in_the_receipt(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(JOB.document()))
    code, receipt = ended(tmp_path)
    assert (code, receipt["reason"]) == (EXIT_CODES[Ended.COPY_FAILED], "CopyFailed")
    assert receipt["message"]


def test_an_answer_that_was_cut_is_none() -> None:
    whole = f'{MARK}s {{"event": "scanning"}}\n'.encode()
    assert list(answers(io.BytesIO(whole + whole[:-4]), "s")) == [{"event": "scanning"}]


def test_a_refusal_for_secrets_sends_nobody_to_the_log() -> None:
    outcome = refusal(JOB, {"bytes": 1, "excluded": {"content": 2}})
    assert outcome is not None
    assert "2 ordinary files hold secrets" in outcome.message
    assert "log" not in outcome.message
