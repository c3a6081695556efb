"""The tables. Only storage/ knows them; everyone else speaks to the repositories."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

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
    Column("owner", String, nullable=False, default=""),
    # its place in the queue: the higher priority first, then the lower turn; see storage/queue.py
    Column("priority", Integer, nullable=False, default=0),
    Column("queue_order", Float, nullable=False),
    Column("held", Boolean, nullable=False, default=False),
    Column("start_at", Float),
    Column("wanted_device", String, nullable=False, default=""),
    # where it comes from
    Column("sweep_id", String, index=True),
    Column("sweep_values", JSON, nullable=False, default=dict),
    Column("continues", String, nullable=False, default=""),
    # the lease: who works on it, and the fencing number that every write of a trainer must carry. It lives while `beats` counts on
    Column("fence", Integer, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("crashes", Integer, nullable=False, default=0),
    Column("beats", Integer, nullable=False, default=0),
    Column("worker_id", String, nullable=False, default=""),
    Column("host", String, nullable=False, default=""),
    Column("boot_id", String, nullable=False, default=""),
    Column("device", String, nullable=False, default=""),
    Column("pid", Integer, nullable=False, default=0),
    Column("process_started_at", Float, nullable=False, default=0),
    Column("request", String, nullable=False, default=""),
    # progress
    Column("step", Integer, nullable=False, default=0),
    Column("total_steps", Integer, nullable=False, default=0),
    Column("training_since", Float),
    Column("training_since_step", Integer, nullable=False, default=0),
    Column("memory_bytes", BigInteger),
    Column("checkpoint_step", Integer),
    Column("best_step", Integer),
    Column("adjustments", JSON, nullable=False, default=dict),
    # the record
    Column("problem", Text, nullable=False, default=""),
    Column("problem_kind", String, nullable=False, default=""),
    Column("peak_memory_bytes", BigInteger),
    Column("peak_memory_of", String, nullable=False, default=""),
    Column("memory_before_bytes", BigInteger),
    Column("forecast_memory_bytes", BigInteger),
    Column("forecast", JSON, nullable=False, default=dict),
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
    Column("deleted_at", Float),
    Index("run_by_turn", "state", "priority", "queue_order", "created_at"),
    Index("run_by_age", "deleted_at", "created_at"),
    Index("run_by_owner", "owner", "queue_order"),
    Index("run_by_method", "base_model", "method", "created_at"),
)

events = Table(
    "run_event", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("from_state", String, nullable=False),
    Column("to_state", String, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("reason", Text, nullable=False, default=""),
)

sweeps = Table(
    "sweep", metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("varied", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
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
    Column("deleted_at", Float),
    Column("blend", JSON, nullable=False, default=dict),
)

datasets = Table(
    "dataset", metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("sha256", String, nullable=False, unique=True),
    Column("bytes", BigInteger, nullable=False),
    Column("files", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("deleted_at", Float),
    # its place among the versions of one dataset, and where it comes from
    Column("family", String, nullable=False, default="", index=True),
    Column("version", Integer, nullable=False, default=1),
    Column("parent_id", String, nullable=False, default=""),
    Column("origin", JSON, nullable=False, default=dict),
    # how it is read, as a person last saw it
    Column("task", String, nullable=False, default=""),
    Column("format", String, nullable=False, default=""),
    Column("columns", JSON, nullable=False, default=dict),
    Column("rows", BigInteger),
    Column("validation_id", String, nullable=False, default=""),
)

checks = Table(
    "data_check", metadata,
    Column("id", String, primary_key=True),
    Column("dataset_id", ForeignKey("dataset.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("wanted", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("phase", String, nullable=False, default=""),
    Column("done", Float, nullable=False, default=0),
    Column("problem", Text, nullable=False, default=""),
    Column("report", JSON),
    Column("asked_at", Float, nullable=False),
    Column("beat_at", Integer, nullable=False, default=0),
)

comparisons = Table(
    "comparison", metadata,
    Column("id", String, primary_key=True),
    Column("created_at", Float, nullable=False, index=True),
    Column("owner", String, nullable=False, default=""),
    Column("base_model", String, nullable=False),
    Column("task", String, nullable=False),
    Column("conversation", JSON, nullable=False),
    Column("settings", JSON, nullable=False, default=dict),
    Column("answers", JSON, nullable=False),
    Column("blind", Boolean, nullable=False, default=False),
    Column("verdict", String, nullable=False, default=""),
    Column("best", String, nullable=False, default=""),
    Column("note", Text, nullable=False, default=""),
    Column("judged_at", Float),
)

roles = Table(
    "role", metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("run_id", ForeignKey("adapter.run_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("prompts", JSON, nullable=False, default=list),
    Column("created_at", Float, nullable=False),
)

certificates = Table(
    "certificate", metadata,
    Column("run_id", ForeignKey("adapter.run_id", ondelete="CASCADE"), primary_key=True),
    Column("wanted", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("phase", String, nullable=False, default=""),
    Column("done", Float, nullable=False, default=0),
    Column("problem", Text, nullable=False, default=""),
    Column("report", JSON),
    Column("passed", Boolean),
    Column("asked_at", Float, nullable=False),
    Column("beat_at", Integer, nullable=False, default=0),
)

workers = Table(
    "worker", metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started_at", Float, nullable=False, default=0),
    Column("boot_id", String, nullable=False, default=""),
    Column("devices", JSON, nullable=False),
    Column("facts", JSON, nullable=False, default=dict),
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
