"""The migration board."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from api.control import examples_of_boards as examples
from api.control.bearer import reader
from api.control.documented import answers
from api.control.parameters import Services
from shadow.reports import board as boards
from shadow.reports.board_shapes import Board

router = APIRouter(tags=["board"], dependencies=[Depends(reader)])


@router.get("/v1/board", summary="The migration board", responses=answers(examples.BOARD, 401, 403, 422))
async def get_board(services: Services) -> Board:
    """How many tasks stand in which phase, what keeps each from its next one, and how that came about over time."""
    return await boards.board(services.engine, services.catalogue)
