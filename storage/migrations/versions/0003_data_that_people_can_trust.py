"""Versions of a dataset, where each comes from and how it is read, and health reports"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

EMPTY = sa.text("'{}'")


def upgrade():
    for column in (
        sa.Column("family", sa.String(), nullable=False, server_default=""),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("parent_id", sa.String(), nullable=False, server_default=""),
        sa.Column("origin", sa.JSON(), nullable=False, server_default=EMPTY),
        sa.Column("task", sa.String(), nullable=False, server_default=""),
        sa.Column("format", sa.String(), nullable=False, server_default=""),
        sa.Column("columns", sa.JSON(), nullable=False, server_default=EMPTY),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("validation_id", sa.String(), nullable=False, server_default=""),
    ):
        op.add_column("dataset", column)
    op.execute("UPDATE dataset SET family = id")
    op.create_index("ix_dataset_family", "dataset", ["family"])
    op.create_table(
        "data_check",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("dataset_id", sa.String(), sa.ForeignKey("dataset.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("done", sa.Float(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("report", sa.JSON()),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("beat_at", sa.Integer(), nullable=False),
    )
