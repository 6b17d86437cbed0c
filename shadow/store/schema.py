"""What every table shares: names of constraints, and how moments are kept."""

from __future__ import annotations

from sqlalchemy import DateTime, MetaData, func

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "pk": "%(table_name)s_pkey",
    }
)

Moment = DateTime(timezone=True)
NOW = func.now()
