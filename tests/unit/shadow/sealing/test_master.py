"""The master key comes from a variable or a file; an external database gets none made up for it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shadow.sealing import master
from shadow.sealing.master import BadSealingKey, MasterKey, NoSealingKey, WrongSealingKey

HEX = "ab" * 32
BASE64 = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="
"""The same key."""


@pytest.mark.parametrize("text", [HEX, BASE64, BASE64.rstrip("="), f" {HEX}\n"])
def test_it_is_read_as_hex_or_base64(text: str) -> None:
    assert master.parse(text).fingerprint == MasterKey(b"\xab" * 32).fingerprint


def test_both_alphabets_of_base64_are_the_same() -> None:
    assert master.parse("_" * 42 + "8=").fingerprint == master.parse("/" * 42 + "8=").fingerprint


@pytest.mark.parametrize("text", ["", "secret", "ab" * 31, BASE64[:-4], "zz" * 32, "ä" * 43])
def test_anything_else_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(BadSealingKey) as refused:
        master.parse(text)
    assert not text or text not in str(refused.value)


def test_the_variable_comes_first_then_the_named_file_then_the_data_folder(tmp_path: Path) -> None:
    named = tmp_path / "named.key"
    of_data = master.given(tmp_path, {})
    of_file = master.given(tmp_path, {master.FILE_VARIABLE: str(named)})
    of_variable = master.given(tmp_path, {master.VARIABLE: HEX, master.FILE_VARIABLE: str(named)})
    assert len({of_data.fingerprint, of_file.fingerprint, of_variable.fingerprint}) == 3
    assert of_variable.fingerprint == master.parse(HEX).fingerprint
    assert master.given(tmp_path, {}).fingerprint == of_data.fingerprint


def test_without_any_an_external_database_is_refused_and_told_what_to_do() -> None:
    with pytest.raises(NoSealingKey, match=r"SHADOW_SEALING_KEY.*shadow sealing-key new"):
        master.given(None, {})


def test_a_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    master.given(tmp_path, {})
    file = tmp_path / master.FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_processes_that_start_at_once_share_one_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: master.of_file(tmp_path / "k").fingerprint, range(64)))
    assert len(set(made)) == 1


def test_a_file_with_something_else_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "k"
    file.write_text("nonsense")
    with pytest.raises(BadSealingKey, match=str(file)):
        master.of_file(file)


def test_a_new_key_is_one() -> None:
    assert master.parse(master.new_text()).fingerprint != master.parse(master.new_text()).fingerprint


def test_what_is_wrapped_comes_back_for_the_same_key_and_context_only() -> None:
    key = MasterKey(b"m" * 32)
    wrapped = key.wrap(b"s" * 32, b"acme")
    assert key.unwrap(wrapped, b"acme") == b"s" * 32
    assert b"s" * 8 not in wrapped
    with pytest.raises(WrongSealingKey):
        key.unwrap(wrapped, b"other")
    with pytest.raises(WrongSealingKey, match=MasterKey(b"n" * 32).fingerprint):
        MasterKey(b"n" * 32).unwrap(wrapped, b"acme")
    for torn in (b"", wrapped[:5], wrapped[:12], wrapped[:-1]):
        with pytest.raises(WrongSealingKey):
            key.unwrap(torn, b"acme")
