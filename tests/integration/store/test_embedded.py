"""The embedded server runs with the settings of this version, also on a cluster that an earlier one made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from shadow.store import embedded


def settings(url: str) -> dict[str, tuple[str, str | None]]:
    """What two of them are, and the file that says so."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name), sourcefile FROM pg_settings WHERE name IN ('max_wal_size', 'jit')"
        ).fetchall()
    return {name: (value, source) for name, value, source in rows}


def test_a_cluster_of_an_earlier_version_gets_the_settings_of_this_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    _url, server = embedded.start(data)
    server.cleanup()
    cluster = embedded.location(data)
    conf = cluster / "postgresql.conf"
    conf.write_text(conf.read_text().replace(embedded._INCLUDE, "# shadow\nmax_wal_size = 2GB\njit = on\n"))
    (cluster / "shadow.conf").unlink()
    url, server = embedded.start(data, ephemeral=True)
    try:
        found = settings(url)
    finally:
        server.cleanup()
    assert {name: value for name, (value, _source) in found.items()} == {"max_wal_size": "4GB", "jit": "off"}
    assert {Path(source).name for _value, source in found.values() if source} == {"shadow.conf"}


def test_a_new_cluster_begins_with_files_of_the_log_for_hundreds_of_thousands_of_events(tmp_path: Path) -> None:
    """To make one takes 15-30 ms, in which nothing commits."""
    data = tmp_path / "data"
    url, server = embedded.start(data)
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            (current,) = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone() or ("",)
            files = connection.execute("SELECT name FROM pg_ls_waldir()").fetchall()
        ahead = [name for (name,) in files if len(name) == len(current) and name > current]
    finally:
        server.cleanup()
        shutil.rmtree(embedded.location(data))
    assert len(ahead) >= 30


def test_a_log_in_which_no_room_could_be_made_is_no_reason_not_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_SEGMENT_BYTES", 0)  # however full this disk is
    with capture_logs() as logs:
        embedded._make_room(f"postgresql:///postgres?host={tmp_path}", tmp_path)
    assert [line["event"] for line in logs] == ["store.no_room_made"]


@pytest.mark.parametrize("language", [None, "C.UTF-8"])
def test_a_new_cluster_orders_texts_by_their_bytes_whatever_the_machines_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str | None
) -> None:
    """The rules of a language are slower, and change with the C library under indexes that were made by them."""
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_COLLATE", raising=False)
    if language is not None:
        monkeypatch.setenv("LC_ALL", language)
    url, server = embedded.start(tmp_path, ephemeral=True)
    try:
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT datcollate, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"
            ).fetchone()
    finally:
        server.cleanup()
    assert found == ("C", "UTF8")
    assert os.environ.get("LC_ALL") == language
    assert "LC_COLLATE" not in os.environ
