"""What each device of a worker can do, so that the page can say it"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("worker", sa.Column("facts", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
