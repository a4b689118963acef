"""Rows and marks."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

# A mark's row changes with every commit: room in its page keeps the new version there, and out of the indexes.
MARKS = """
CREATE TABLE lighthouse_marks (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space text NOT NULL UNIQUE,
    epoch bigint NOT NULL,
    number bigint NOT NULL,
    position bigint NOT NULL,
    owner uuid NOT NULL,
    beat timestamptz NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
"""

ROWS = """
CREATE TABLE lighthouse_rows (
    space int NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (space, key)
)
"""


def upgrade() -> None:
    """Makes both tables."""
    op.execute(MARKS)
    op.execute(ROWS)


def downgrade() -> None:
    """Forgets everything: the log has it all."""
    op.execute("DROP TABLE lighthouse_rows, lighthouse_marks")
