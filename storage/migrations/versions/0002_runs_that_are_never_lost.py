"""A place in the queue, a history, sweeps, deletions that can be undone, and leases that no clock decides"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EMPTY = sa.text("'{}'")


def upgrade():
    for column in (
        sa.Column("owner", sa.String(), nullable=False, server_default=""),
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("held", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("start_at", sa.Float()),
        sa.Column("wanted_device", sa.String(), nullable=False, server_default=""),
        sa.Column("sweep_id", sa.String()),
        sa.Column("sweep_values", sa.JSON(), nullable=False, server_default=EMPTY),
        sa.Column("continues", sa.String(), nullable=False, server_default=""),
        sa.Column("beats", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("worker_id", sa.String(), nullable=False, server_default=""),
        sa.Column("boot_id", sa.String(), nullable=False, server_default=""),
        sa.Column("checkpoint_step", sa.Integer()),
        sa.Column("best_step", sa.Integer()),
        sa.Column("adjustments", sa.JSON(), nullable=False, server_default=EMPTY),
        sa.Column("deleted_at", sa.Float()),
    ):
        op.add_column("run", column)
    op.drop_index("run_by_state", "run")
    op.drop_column("run", "lease_until")
    op.drop_column("run", "requested_at")
    op.create_index("run_by_turn", "run", ["state", "priority", "queue_order", "created_at"])
    op.drop_index("run_by_age", "run")
    op.create_index("run_by_age", "run", ["deleted_at", "created_at"])
    op.create_index("run_by_owner", "run", ["owner", "queue_order"])
    op.create_index("run_by_method", "run", ["base_model", "method", "created_at"])
    op.create_index("ix_run_sweep_id", "run", ["sweep_id"])
    op.create_table(
        "run_event",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(), sa.ForeignKey("run.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=False),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_table(
        "sweep",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("varied", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )
    op.add_column("adapter", sa.Column("deleted_at", sa.Float()))
    op.add_column("dataset", sa.Column("deleted_at", sa.Float()))
    op.add_column("worker", sa.Column("process_started_at", sa.Float(), nullable=False, server_default="0"))
    op.add_column("worker", sa.Column("boot_id", sa.String(), nullable=False, server_default=""))
    # a history starts for the runs that are there already
    op.execute("INSERT INTO run_event (run_id, at, from_state, to_state, fence, reason) "
               "SELECT id, created_at, '', 'queued', 0, '' FROM run")
    op.execute("INSERT INTO run_event (run_id, at, from_state, to_state, fence, reason) "
               "SELECT id, MAX(claimed_at, created_at), 'queued', 'running', fence, '' FROM run WHERE claimed_at IS NOT NULL")
    op.execute("INSERT INTO run_event (run_id, at, from_state, to_state, fence, reason) "
               "SELECT id, MAX(claimed_at, created_at), 'running', 'queued', fence, '' FROM run "
               "WHERE claimed_at IS NOT NULL AND state = 'queued'")
    op.execute("INSERT INTO run_event (run_id, at, from_state, to_state, fence, reason) "
               "SELECT id, MAX(COALESCE(finished_at, created_at), COALESCE(claimed_at, created_at)), "
               "CASE WHEN claimed_at IS NULL THEN 'queued' ELSE 'running' END, state, fence, problem FROM run "
               "WHERE state NOT IN ('queued', 'running')")
