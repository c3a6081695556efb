"""Examples become rows of tokens on the disk: made once for each combination of data, tokenizer, template and settings."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pyarrow as pa
from datasets import Dataset

from jobs.made_once import made_once
from jobs.preparing.encoding import encode_all, in_batches
from jobs.preparing.packing import pack
from jobs.preparing.problems import NothingToTrain
from jobs.training.context import TrainingContext

PREPARING = 1  # counted up where the same examples would become other rows than before
ROWS, FACTS = "rows.arrow", "facts.json"
MOST_LOST = 0.05  # of the rows, that may train on nothing
MOST_REASONS = 20  # that are told apart
MANY = 20_000  # rows, above which it is said that tokens are made of them
TEXTS = ("input_ids", "anchor", "positive", "negative")  # columns with tokens, beside those that end in _ids
LIBRARIES = ("transformers", "tokenizers")


@dataclass
class Encoded:
    """What a task's `encode` makes of some examples.

    `columns` have one value for each row that is kept; `length`, in tokens, is among them. `cut` counts the rows that were too
    long. `lost` has one entry for each row that is left out: why, as words that follow "it has", and the row length in tokens with
    which it could be kept (0 where none would help).
    """

    columns: dict[str, list]
    cut: int = 0
    lost: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Facts:
    """What is known of prepared rows. `needed` are the row lengths that the rows left out for their length would need, by count."""

    examples: int = 0
    rows: int = 0
    cut: int = 0
    longest: int = 0
    tokens: int = 0
    largest_id: int = -1
    lost: dict[str, int] = field(default_factory=dict)
    needed: dict[int, int] = field(default_factory=dict)

    @property
    def lost_rows(self) -> int:
        return sum(self.lost.values())


def prepare(examples: Sequence[dict], context: TrainingContext, validation: bool = False) -> tuple[Dataset, Facts]:
    """The rows that a trainer takes, read from the disk as they are needed, and what is known of them.

    Says on the run's log how many rows were cut and lost. Raises NothingToTrain where over 5% of training rows would train on
    nothing.
    """
    if validation and not len(examples):
        return Dataset.from_dict({"length": []}), Facts()
    folder = made_once(context.prepared_dir / _key(examples, context), lambda target: _write(examples, context, target))
    facts = read_facts(folder)
    tell(facts, context, validation)
    if context.recipe.training.packing and not validation:
        room = context.recipe.training.max_length
        key = hashlib.sha256(f"{folder.name} packed {room}".encode()).hexdigest()[:24]
        packed = made_once(context.prepared_dir / key, lambda target: _write_packed(folder, room, facts, target))
        rows, facts = facts.rows, replace(facts, rows=read_facts(packed).rows, longest=read_facts(packed).longest)
        context.report.say(f"Packed {rows:,} rows into {facts.rows:,} of at most {room:,} tokens, "
                           f"{facts.tokens / (facts.rows * room):.0%} full.")
        folder = packed
    return Dataset.from_file(str(folder / ROWS)), facts


def tell(facts: Facts, context: TrainingContext, validation: bool) -> None:
    """Say what became of the rows; raise NothingToTrain where too many of them would train on nothing."""
    limit, of = context.recipe.training.max_length, "validation rows" if validation else "rows"
    if not validation and (facts.lost_rows > MOST_LOST * facts.examples or not facts.rows):
        raise NothingToTrain(_refusal(facts, limit))
    if facts.cut:
        context.report.say(f"{facts.cut:,} of {facts.examples:,} {of} are longer than {limit:,} tokens and were cut.", "warning")
    for reason, count in facts.lost.items():
        have, they = ("have", "are") if count > 1 else ("has", "is")
        context.report.say(f"{count:,} of {facts.examples:,} {of} {have} {reason}, and {they} left out.", "warning")


def read_facts(folder: Path) -> Facts:
    values = json.loads((folder / FACTS).read_text("utf-8"))
    return Facts(**{**values, "needed": {int(length): count for length, count in values["needed"].items()}})


def length_to_keep(facts: Facts) -> int:
    """The row length in tokens with which at most 5% of the rows would train on nothing; 0 where no length does it."""
    lost, allowed = facts.lost_rows, int(MOST_LOST * facts.examples)
    for length, count in sorted(facts.needed.items()):
        lost -= count
        if lost <= allowed:
            return length
    return 0


def _refusal(facts: Facts, limit: int) -> str:
    if not facts.examples:
        return "There is no row to train on. Give data with rows, or keep fewer for validation."
    reasons = "; ".join(f"{count:,} {'have' if count > 1 else 'has'} {reason}" for reason, count in
                        sorted(facts.lost.items(), key=lambda item: -item[1]))
    share = facts.lost_rows / facts.examples
    length = length_to_keep(facts)
    advice = []
    if facts.needed:
        advice.append(f"Raise training.max_length from {limit:,} to at least {length:,}" if length else
                      "Raise training.max_length")
    if any("chat template" in reason for reason in facts.lost):
        advice.append("choose another chat_template that suits the data")
    advice.append("take these rows out of the data")
    text = ", or ".join(advice)
    return (f"{facts.lost_rows:,} of {facts.examples:,} rows ({share:.1%}) would train on nothing, and at most {MOST_LOST:.0%} "
            f"may: {reasons}. {text[0].upper()}{text[1:]}.")


def _write(examples: Sequence[dict], context: TrainingContext, folder: Path) -> None:
    facts, writer, schema = Facts(examples=len(examples)), None, pa.schema([("length", pa.int32())])
    if len(examples) > MANY:
        context.report.say(f"Making tokens of {len(examples):,} rows. The next run with the same data and settings finds them.")
    try:
        for _, encoded in encode_all(in_batches(examples), lambda batch: context.task.encode(batch, context)):
            _count(encoded, facts)
            batch = _record_batch(encoded.columns)
            if not batch.num_rows:
                continue
            if writer is None:
                schema = batch.schema
                writer = pa.ipc.new_stream(str(folder / ROWS), schema)
            writer.write_batch(batch.cast(schema))
        if writer is None:
            writer = pa.ipc.new_stream(str(folder / ROWS), schema)
    finally:
        if writer:
            writer.close()
    _write_facts(facts, folder)


def _write_packed(source: Path, room: int, facts: Facts, folder: Path) -> None:
    lengths = pack(Dataset.from_file(str(source / ROWS)), room, folder / ROWS)
    _write_facts(Facts(examples=facts.rows, rows=len(lengths), longest=max(lengths), tokens=facts.tokens), folder)


def _write_facts(facts: Facts, folder: Path) -> None:
    (folder / FACTS).write_text(json.dumps(asdict(facts)), "utf-8")


def _count(encoded: Encoded, facts: Facts) -> None:
    lengths = encoded.columns.get("length", [])
    facts.rows += len(lengths)
    facts.tokens += sum(lengths)
    facts.longest = max([facts.longest, *lengths])
    facts.cut += encoded.cut
    for reason, needed in encoded.lost:
        if reason not in facts.lost and len(facts.lost) >= MOST_REASONS:
            reason = "another problem of that kind"
        facts.lost[reason] = facts.lost.get(reason, 0) + 1
        if needed:
            facts.needed[needed] = facts.needed.get(needed, 0) + 1
    for name, values in encoded.columns.items():
        if name in TEXTS or name.endswith("_ids"):
            facts.largest_id = max([facts.largest_id, *(max(ids) for ids in values if ids)])


def _record_batch(columns: dict[str, list]) -> pa.RecordBatch:
    arrays = {}
    for name, values in columns.items():
        first = next(iter(values), None)
        kind = pa.list_(pa.int32()) if isinstance(first, list) else pa.int32() if type(first) is int else None
        arrays[name] = pa.array(values, kind)
    return pa.RecordBatch.from_pydict(arrays)


def _key(examples: Sequence[dict], context: TrainingContext) -> str:
    """Changes with everything that the rows depend on."""
    recipe = context.recipe
    way = [PREPARING, [importlib.metadata.version(name) for name in LIBRARIES], recipe.task, context.format,
           recipe.training.max_length, context.labels, context.tokenizer.chat_template, _tokenizer_hash(context.base_path)]
    found = hashlib.sha256(json.dumps(way).encode())
    found.update(examples.digests().tobytes() if hasattr(examples, "digests") else json.dumps(list(examples)).encode())
    return found.hexdigest()[:24]


def _tokenizer_hash(base: Path) -> str:
    found = hashlib.sha256()
    for path in _tokenizer_files(base):
        found.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _tokenizer_files(base: Path) -> Iterator[Path]:
    """Everything small that a tokenizer may be made of: all but the weights."""
    for path in sorted(base.iterdir()):
        if path.suffix in (".json", ".txt", ".model", ".jinja", ".tiktoken", ".vocab") and not path.name.endswith(".index.json"):
            yield path
