"""Evidence in its normal form: notation is taken away before anything is hashed, so that it is no difference after."""

from __future__ import annotations

from typing import Any

import structlog

from comparators.kinds import normal

log = structlog.get_logger(__name__)


def in_normal_form(kind: str, data: Any) -> Any:
    """The data of an effect of that kind in its normal form.

    Never raises: recording goes on with what was said where a normaliser fails, be it a third party's. The judge meets
    the same failure and names it.
    """
    try:
        return normal(kind, data)
    except Exception as error:
        # No traceback: its message may quote the data.
        log.error("effects.not_normalised", kind=kind, error=type(error).__name__)
        return data
