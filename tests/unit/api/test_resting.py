"""A connection on which a request was answered directly: how long it may rest, and how long what follows may take."""

from __future__ import annotations

import asyncio

import pytest

from api.connection import HEAD_SECONDS
from tests.unit.api.listening import Directly, all_of, kept, post, status


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_rests_after_a_direct_answer_is_closed_without_a_word(directly: Directly) -> None:
    directly.server.config.timeout_keep_alive = 1
    async with directly.connected() as (reader, writer):
        writer.write(post(b"one"))
        assert (await all_of(reader)).endswith(b"directly one")
    assert not directly.server.server_state.connections


async def test_how_long_a_connection_rested_is_no_part_of_the_next_heads_time(directly: Directly) -> None:
    async with directly.connected() as (reader, writer):
        writer.write(post(b"one"))
        assert b"directly one" in await reader.read(65536)
        found = kept(directly)
        idle = found.timeout_keep_alive
        assert [found.is_late(now) for now in (0, idle - 1)] == [False, False]
        writer.write(b"\r\n")
        while found._rests:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
        begun = idle - 0.5
        assert [found.is_late(now) for now in (begun, begun + HEAD_SECONDS)] == [False, False]
        assert found.is_late(begun + HEAD_SECONDS + 1)


async def test_a_head_that_began_before_the_answer_has_no_more_time_than_others(directly: Directly) -> None:
    directly.waits = True
    async with directly.connected() as (reader, writer):
        writer.write(post(b"one"))
        await directly.asked()
        found = kept(directly)
        answered = found.scope
        writer.write(b"POST / HT")
        while found.scope is answered:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
        directly.replies[0]()
        assert b"directly one" in await reader.read(65536)
        assert [found.is_late(now) for now in (0, HEAD_SECONDS, HEAD_SECONDS + 1)] == [False, False, True]
        found.end_if_late(HEAD_SECONDS + 1)
        assert status(await all_of(reader)) == 408


@pytest.mark.usefixtures("impatient")
async def test_what_begins_no_request_keeps_no_connection_open_after_a_direct_answer(directly: Directly) -> None:
    async with directly.connected() as (reader, writer):
        writer.write(post(b"one"))
        assert b"directly one" in await reader.read(65536)
        writer.write(b"\r\n")
        assert await asyncio.wait_for(all_of(reader), 10) == b""
