"""What a run was said to take, and what its trainer's process had before it loaded anything"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("run", sa.Column("forecast_memory_bytes", sa.BigInteger(), nullable=True))
    op.add_column("run", sa.Column("memory_before_bytes", sa.BigInteger(), nullable=True))
    op.add_column("run", sa.Column("forecast", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
