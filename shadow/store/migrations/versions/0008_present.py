"""Present: one file of statements for each room (folder `0008/`), run in the order of their names."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for path in sorted((Path(__file__).parent / "0008").glob("*.sql")):
        for statement in path.read_text().split(";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: evidence is not thrown away by a migration")
