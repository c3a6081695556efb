"""Answers side by side with what people said of them, roles and certificates of adapters, and what an adapter was blended from"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "comparison",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("base_model", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("conversation", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("best", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("judged_at", sa.Float()),
    )
    op.create_index("ix_comparison_created_at", "comparison", ["created_at"])
    op.create_table(
        "role",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), sa.ForeignKey("adapter.run_id", ondelete="CASCADE"), nullable=False),
        sa.Column("prompts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )
    op.create_index("ix_role_run_id", "role", ["run_id"])
    op.create_table(
        "certificate",
        sa.Column("run_id", sa.String(), sa.ForeignKey("adapter.run_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("done", sa.Float(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("report", sa.JSON()),
        sa.Column("passed", sa.Boolean()),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("beat_at", sa.Integer(), nullable=False),
    )
    op.add_column("adapter", sa.Column("blend", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
