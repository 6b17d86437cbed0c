"""schemathesis finds nothing wrong with the running control API; every check that it has is on."""

from __future__ import annotations

from pathlib import Path

import pytest

from shadow.store.database import Database
from tests.fuzz.schema import Service


async def test_the_api_is_what_its_document_says(database: Database, tmp_path: Path) -> None:
    found = await Service(database).run(tmp_path, examples=3, seconds=15)
    assert found.ok, found.report
    assert found.cases > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_the_api_is_that_after_ten_thousand_requests(database: Database, tmp_path: Path, seed: int) -> None:
    found = await Service(database).run(tmp_path, examples=60, seconds=400, seed=seed)
    assert found.ok, found.report
