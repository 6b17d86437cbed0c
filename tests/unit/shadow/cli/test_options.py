"""What several commands take."""

from __future__ import annotations

import os
import pwd

import pytest

from shadow.cli.options import who


def test_who_acts_is_whom_the_command_names() -> None:
    assert who("ann") == "ann"


def test_a_user_without_a_name_as_containers_have_them_is_told_by_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert who(None) == f"uid {os.getuid()}"
