"""The tables. Only storage/ knows them; everyone else speaks to the repositories."""

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

runs = Table(
    "run", metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("state", String, nullable=False),
    Column("phase", String, nullable=False, default=""),
    Column("task", String, nullable=False),
    Column("method", String, nullable=False),
    Column("base_model", String, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("submission_key", String, unique=True),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("claimed_at", Float),
    Column("finished_at", Float),
    Column("queue_order", Float, nullable=False),
    # the lease: who works on it, until when, and the fencing number that every write of a trainer must carry
    Column("fence", Integer, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("crashes", Integer, nullable=False, default=0),
    Column("lease_until", Integer, nullable=False, default=0),
    Column("host", String, nullable=False, default=""),
    Column("device", String, nullable=False, default=""),
    Column("pid", Integer, nullable=False, default=0),
    Column("process_started_at", Float, nullable=False, default=0),
    Column("request", String, nullable=False, default=""),
    Column("requested_at", Integer, nullable=False, default=0),
    # progress
    Column("step", Integer, nullable=False, default=0),
    Column("total_steps", Integer, nullable=False, default=0),
    Column("training_since", Float),
    Column("training_since_step", Integer, nullable=False, default=0),
    Column("memory_bytes", BigInteger),
    # the record
    Column("problem", Text, nullable=False, default=""),
    Column("problem_kind", String, nullable=False, default=""),
    Column("peak_memory_bytes", BigInteger),
    Column("peak_memory_of", String, nullable=False, default=""),
    Column("checkpoint_bytes", BigInteger),
    Column("trainable_parameters", BigInteger),
    Column("total_parameters", BigInteger),
    Column("seconds_to_first_step", Float),
    Column("train_seconds", Float),
    Column("tokens_per_second", Float),
    Column("eval_loss", Float),
    Column("eval_loss_before", Float),
    Column("metrics", JSON, nullable=False, default=dict),
    Column("samples", JSON, nullable=False, default=list),
    Column("base", JSON, nullable=False, default=dict),
    Column("data", JSON, nullable=False, default=dict),
    Column("environment", JSON, nullable=False, default=dict),
    Index("run_by_state", "state", "queue_order"),
    Index("run_by_age", "created_at"),
)

metrics = Table(
    "metric", metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("value", Float, nullable=False),
)

log_lines = Table(
    "log_line", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("level", String, nullable=False),
    Column("text", Text, nullable=False),
)

adapters = Table(
    "adapter", metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("name", String, nullable=False),
    Column("folder", String, nullable=False),
    Column("zip_name", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("zip_bytes", BigInteger, nullable=False),
    Column("files", JSON, nullable=False),
    Column("task", String, nullable=False),
    Column("method", String, nullable=False),
    Column("base_model", String, nullable=False),
    Column("base_path", String, nullable=False),
    Column("base_hash", String, nullable=False),
    Column("created_at", Float, nullable=False),
)

datasets = Table(
    "dataset", metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("sha256", String, nullable=False, unique=True),
    Column("bytes", BigInteger, nullable=False),
    Column("files", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
)

workers = Table(
    "worker", metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("devices", JSON, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("beat_at", Integer, nullable=False),
)

downloads = Table(
    "download", metadata,
    Column("hub_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("done_bytes", BigInteger, nullable=False, default=0),
    Column("total_bytes", BigInteger, nullable=False, default=0),
    Column("problem", Text, nullable=False, default=""),
    Column("asked_at", Float, nullable=False),
    Column("beat_at", Integer, nullable=False, default=0),
)
