"""The memory forecast against real trainings here, which vary model family, method, length, batch, optimizer and number format.

Each row is a run of the studio's own trainer, in the process that a worker would start for it, on a model of random weights that is
read from safetensors; all rows of its data are as long as the recipe allows. Compared is the growth: the most that the process held
less what it held before the model was loaded (on a CPU the resident set, on a GPU what torch's allocator had reserved). The terms
in jobs/forecast/terms.json are fitted on every second row; the other half shows what they are worth.

Bars: median error at most 5 %, nine in ten at most 10 %.
"""

import json
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEDIAN, NINE_IN_TEN = 5.0, 10.0  # percent
STEPS, MEASURED = 3, 16          # of training, and rows to measure with
VOCABULARY = 8000
PATIENCE = 300                   # seconds for one run
MEGABYTE = 1e6
COLUMNS = {"text": {"text": "text"}, "classification": {"text": "text", "label": "label"}}


@dataclass(frozen=True)
class Row:
    """One run of the grid."""

    model: str
    method: str = "lora"
    batch: int = 4
    length: int = 256
    format: str = "text"
    quantization: str = "none"
    settings: dict[str, Any] = field(default_factory=dict)  # of the method
    training: dict[str, Any] = field(default_factory=dict)
    measured: bool = True                                   # whether there are rows to measure with

    @property
    def task(self) -> str:
        return {"classification": "text-classification", "tokens": "token-classification",
                "pairs": "sentence-similarity"}.get(self.format, "text-generation")

    @property
    def name(self) -> str:
        said = [self.model, self.method, self.format, f"{self.batch} × {self.length}"]
        said += ["DoRA"] if self.settings.get("use_dora") else []
        said += [self.quantization] if self.quantization != "none" else []
        said += [f"{name.replace('_', ' ')} {value}".replace(" True", "") for name, value in self.training.items()]
        return ", ".join(said + ([] if self.measured else ["no evaluation"]))


BIG = {"target_modules": "all-linear", "r": 32}
CHECKPOINTED = {"gradient_checkpointing": True}
ROWS = [
    Row("llama"), Row("llama", batch=8), Row("llama", batch=2, length=1024), Row("llama", batch=8, settings=BIG),
    Row("llama", batch=8, length=512, training=CHECKPOINTED), Row("llama", batch=12, training=CHECKPOINTED, settings=BIG),
    Row("llama", "full", batch=4), Row("llama", "full", batch=8, training={"optimizer": "adamw_torch_fused"}),
    Row("llama", "full", batch=4, training={"optimizer": "adafactor"}),
    Row("llama", "full", batch=4, training={"optimizer": "adamw_8bit", "accumulation": 2}),
    Row("llama", "full", batch=4, training={"optimizer": "sgd"}, measured=False),
    Row("llama", batch=8, quantization="nf4"), Row("llama", batch=8, quantization="nf4", training=CHECKPOINTED),
    Row("llama", "ia3", batch=8), Row("llama", "prefix-tuning", batch=6), Row("llama", batch=4, settings={**BIG, "use_dora": True}),
    Row("llama", batch=4, training={"base_precision": "bf16"}), Row("llama", format="preference"),
    Row("llama", batch=6, measured=False), Row("llama-deep", batch=4), Row("llama-deep", batch=8, training=CHECKPOINTED),
    Row("llama-deep", "full", batch=2, training={"optimizer": "lion_32bit"}), Row("llama-deep", quantization="nf4"),
    Row("gpt2"), Row("gpt2", batch=4, length=512), Row("gpt2", "full"), Row("gpt2", batch=8, training=CHECKPOINTED),
    Row("qwen"), Row("qwen", batch=6), Row("qwen", quantization="nf4"), Row("qwen", "full", batch=2),
    Row("bert", batch=16, format="classification"), Row("bert", batch=32, length=128, format="classification"),
    Row("bert", "full", batch=32, length=128, format="classification"), Row("bert", batch=16, format="tokens"),
    Row("minilm", batch=32, length=128, format="pairs"), Row("minilm", "full", batch=16, length=256, format="pairs"),
    Row("minilm", batch=64, length=128, format="classification"), Row("bert", "ia3", batch=16, format="classification"),
    Row("t5", batch=8, format="answers"), Row("t5", batch=16, format="answers"), Row("t5", "full", batch=8, format="answers"),
    Row("t5", batch=16, format="answers", training=CHECKPOINTED),
]


def measure(arguments: list[str]) -> dict:
    """All rows, or those whose numbers are named; --device cuda runs them on the GPU.

    --kept FILE has rows of a grid that was broken off, which are not run again, and gets those that are.
    """
    from jobs.trainers import warm_up

    warnings.filterwarnings("ignore")
    device = "cuda" if "cuda" in arguments else "cpu"
    chosen = [int(number) for number in arguments if number.isdigit()] or range(len(ROWS))
    kept = Path(arguments[arguments.index("--kept") + 1]) if "--kept" in arguments else None
    found = {row["number"]: row for row in map(json.loads, kept.read_text("utf-8").splitlines())} if kept and kept.is_file() else {}
    if not found.keys() >= set(chosen):
        warm_up()
    with tempfile.TemporaryDirectory() as home:
        grid = Grid(Path(home), device)
        for number in chosen:
            if number not in found:
                found[number] = {"number": number, **grid.tried(ROWS[number])}
                if kept:
                    with kept.open("a") as rows:
                        rows.write(json.dumps(found[number]) + "\n")
    return record([compared(found[number]) for number in sorted(found)])


def compared(row: dict) -> dict:
    """A row with its forecast, by the terms as they are now."""
    from jobs.forecast.terms import OVERHEAD, before, with_overhead

    parts = {part: size for part, size in row["parts"].items() if part != OVERHEAD}
    foreseen = sum(with_overhead(parts, row["device"]).values()) - before(row["device"])
    return {**row, "forecast": foreseen, "error_percent": round(100 * (foreseen / row["measured"] - 1), 2)}


def record(found: list[dict]) -> dict:
    errors = [abs(row["error_percent"]) for row in found]
    unfitted = [abs(row["error_percent"]) for row in found if row["number"] % 2]
    return {
        "passed": statistics.median(errors) <= MEDIAN and within(errors) >= 0.9 * len(errors), "runs": len(found),
        "median_error_percent": round(statistics.median(errors), 1), "runs_within_10_percent": within(errors),
        "largest_error_percent": round(max(errors), 1),
        "half_that_nothing_was_fitted_on": {
            "runs": len(unfitted), "median_error_percent": round(statistics.median(unfitted or errors), 1),
            "runs_within_10_percent": within(unfitted)},
        "process_before_loading_bytes": round(statistics.median(row["before"] for row in found)),
        "table": {"columns": ["run", "forecast MB", "measured MB", "error"],
                  "rows": [[row["name"], f"{row['forecast'] / MEGABYTE:.0f}", f"{row['measured'] / MEGABYTE:.0f}",
                            f"{row['error_percent']:+.1f} %"] for row in found]}}


def within(errors: list[float]) -> int:
    return sum(error <= NINE_IN_TEN for error in errors)


class Grid:
    """A studio in a folder of its own, whose runs are trained here one after the other."""

    def __init__(self, home: Path, device: str):
        from jobs.services import open_services
        from storage.settings import StudioSettings

        self.home, self.device, self.known = home, device, {}
        self.services = open_services(StudioSettings.from_env({"STUDIO_HOME": str(home / "studio")}))

    def tried(self, row: Row) -> dict:
        """A row, forecast and measured."""
        if row.model == "t5":
            parts, (held, peak) = encoder_decoder(row, self.model(row.model), self.device)
        else:
            recipe = self.recipe(row)
            parts, run = self.forecast(row, recipe).parts, self.trained(recipe)
            held, peak = run.memory_before_bytes, run.peak_memory_bytes
        result = {"name": row.name, "device": self.device, "measured": peak - held, "before": held, "parts": parts}
        again = compared(result)
        print(f"{row.name}: {again['forecast'] / MEGABYTE:.0f} against {again['measured'] / MEGABYTE:.0f} MB, "
              f"{again['error_percent']:+.1f} %", file=sys.stderr, flush=True)
        return result

    def recipe(self, row: Row):
        from jobs.recipe import Recipe

        return Recipe.model_validate({
            "name": row.name[:80], "base_model": str(self.model(row.model)), "task": row.task, "method": row.method,
            "dataset": {"source": str(self.rows(row)), "format": row.format, "columns": COLUMNS.get(row.format, {}),
                        "validation": MEASURED if row.measured else "none"},
            "method_settings": row.settings, "quantization": row.quantization, "seed": 1,
            "training": {"max_steps": STEPS, "batch_size": row.batch, "max_length": row.length, "eval_steps": STEPS,
                         "learning_rate": 1e-4, **row.training}})

    def forecast(self, row: Row, recipe):
        from jobs.devices import DeviceFacts
        from jobs.forecast.forecast import forecast
        from jobs.forecast.result import Known

        known = Known(format=row.format, labels=3, longest_row=row.length, evaluates=row.measured)
        return forecast(recipe, Path(recipe.base_model), DeviceFacts(self.device, bf16=True), known=known)

    def trained(self, recipe):
        from jobs.submit import check_recipe, run_record
        from jobs.trainers import start_trainer
        from storage.records import RunState

        began = time.monotonic()
        run = self.services.runs.submit(**run_record(check_recipe(self.services, recipe, self.known)))
        run = self.services.leases.claim(run.id, f"{self.device}:0")
        trainer = start_trainer(run, self.services.settings, began)
        self.watch(trainer.pid)
        trainer.join(PATIENCE)
        run = self.services.runs.get(run.id)
        if run.state != RunState.FINISHED:
            trainer.kill()
            log = self.services.settings.runs_dir / run.id / "log.txt"
            raise RuntimeError(f"{recipe.name}: {run.state} {run.problem}\n{log.read_text('utf-8')[-3000:]}")
        return run

    def watch(self, pid: int) -> None:
        """For whoever wants to look at a trainer meanwhile."""

    # ---- models and rows

    def model(self, name: str) -> Path:
        """The folder of a base model with random weights."""
        folder = self.home / "models" / name
        if not folder.is_dir():
            import torch

            from jobs.tiny_models import CHAT_TEMPLATE, make_tokenizer

            torch.manual_seed(0)
            model_class, config = architecture(name)
            model_class(config).save_pretrained(folder)
            make_tokenizer(None if name in ("bert", "minilm") else CHAT_TEMPLATE).save_pretrained(folder)
        return folder

    def rows(self, row: Row) -> Path:
        """A file of rows that are all longer than the longest that is read."""
        count = row.batch * row.training.get("accumulation", 1) * STEPS + MEASURED
        path = self.home / f"{row.format}-{row.length}-{count}.jsonl"
        if not path.is_file():
            lines = [json.dumps(content(row.format, number, row.length)) for number in range(count)]
            path.write_text("\n".join(lines) + "\n", "utf-8")
        return path


def content(format: str, number: int, length: int) -> dict:
    """A row, at least so many tokens long: a letter is one."""
    words = [f"{number * 7919 + place * 104729:x}" for place in range(-(-length // 3))]
    text = "".join(words)  # no words to ask a sample with: writing answers would take longer than the training
    match format:
        case "classification":
            return {"text": text, "label": ["up", "down", "flat"][number % 3]}
        case "tokens":
            return {"tokens": words, "tags": ["O" if place % 3 else "B-some" for place in range(len(words))]}
        case "pairs":
            return {"anchor": text, "positive": text[::-1]}
        case "preference":
            return {"prompt": f"Say {number}", "chosen": text, "rejected": text[::-1]}
    return {"text": text}


def architecture(name: str) -> tuple:
    """A class of transformers and a config."""
    import transformers

    from jobs.tiny_models import make_tokenizer

    tokenizer = make_tokenizer(None)
    ids = dict(vocab_size=VOCABULARY, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None)
    reads = dict(vocab_size=VOCABULARY, pad_token_id=tokenizer.pad_token_id, max_position_embeddings=512)
    match name:
        case "llama":
            return transformers.LlamaForCausalLM, transformers.LlamaConfig(
                **ids, hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=2,
                max_position_embeddings=1024, tie_word_embeddings=True)
        case "llama-deep":
            return transformers.LlamaForCausalLM, transformers.LlamaConfig(
                **ids, hidden_size=192, intermediate_size=512, num_hidden_layers=16, num_attention_heads=3, num_key_value_heads=3,
                max_position_embeddings=1024, tie_word_embeddings=False)
        case "gpt2":
            return transformers.GPT2LMHeadModel, transformers.GPT2Config(
                **ids, n_embd=256, n_layer=6, n_head=4, n_positions=1024)
        case "qwen":
            return transformers.Qwen2ForCausalLM, transformers.Qwen2Config(
                **{**ids, "vocab_size": 32000}, hidden_size=256, intermediate_size=688, num_hidden_layers=6,
                num_attention_heads=4, num_key_value_heads=1, max_position_embeddings=1024, tie_word_embeddings=True)
        case "bert":
            return transformers.BertModel, transformers.BertConfig(
                **reads, hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4)
        case "minilm":
            return transformers.BertModel, transformers.BertConfig(
                **reads, hidden_size=192, intermediate_size=768, num_hidden_layers=8, num_attention_heads=6)
        case "t5":
            return transformers.T5ForConditionalGeneration, transformers.T5Config(
                vocab_size=VOCABULARY, d_model=256, d_kv=64, d_ff=704, num_layers=6, num_decoder_layers=6, num_heads=4,
                feed_forward_proj="gated-gelu", decoder_start_token_id=0, pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id)
    raise ValueError(name)


# ---- encoder-decoders, which no task of the studio trains: as PEFT's examples do, through transformers' trainer


ANSWER = 64  # tokens


def encoder_decoder(row: Row, folder: Path, device: str) -> tuple[dict[str, int], tuple[int, int]]:
    """The parts that are forecast, and what was held before loading and at the most."""
    from transformers import AutoConfig

    from jobs.forecast.forecast import GRAINS
    from jobs.forecast.losses import whole_logits
    from jobs.forecast.optimizers import States
    from jobs.forecast.place import while_recomputing
    from jobs.forecast.pretend import base_model
    from jobs.forecast.step import Way
    from jobs.forecast.terms import with_overhead
    from jobs.forecast.trace import trace
    from jobs.trainers import _context

    def build(config):
        import torch

        config.use_cache = False
        model = with_method(base_model(config, "AutoModelForSeq2SeqLM", torch.float32, "none", None), row)
        if row.training.get("gradient_checkpointing"):
            model.gradient_checkpointing_enable({"use_reentrant": False, "context_fn": while_recomputing})
        return model.train()

    def loss(model):
        import torch

        ids, labels = (torch.empty(row.batch, length, dtype=torch.long) for length in (row.length, ANSWER))
        return whole_logits(model, {"input_ids": ids, "attention_mask": torch.empty_like(ids)}, labels)

    way = Way(loss, States("adamw_torch", device), device, grain=GRAINS[device])
    traced = trace(AutoConfig.from_pretrained(folder), "AutoModelForSeq2SeqLM", build, way)
    mine, its = _context.Pipe()
    process = _context.Process(target=train_encoder_decoder, args=(row, folder, device, its))
    process.start()
    its.close()
    measured = mine.recv()
    process.join()
    return with_overhead(traced.parts, device), measured


def with_method(model, row: Row):
    from peft import LoraConfig, get_peft_model

    from jobs.forecast.pretend import filled

    if row.training.get("gradient_checkpointing"):
        model.enable_input_require_grads()
    if row.method == "full":
        return model
    return filled(get_peft_model(model, LoraConfig(task_type="SEQ_2_SEQ_LM", r=8, target_modules=["q", "v"])))


def train_encoder_decoder(row: Row, folder: Path, device: str, answer) -> None:
    """In a process of its own."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, Trainer, TrainingArguments

    from jobs.training.allocating import give_back_behind_layers
    from jobs.training.devices import memory_now, peak_memory

    held = memory_now(device)
    base = AutoModelForSeq2SeqLM.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    base.config.use_cache = False
    ids = torch.randint(5, VOCABULARY, (row.batch * STEPS, row.length + ANSWER)).tolist()
    rows = [{"input_ids": values[:row.length], "attention_mask": [1] * row.length, "labels": values[row.length:]} for values in ids]
    checkpointing = row.training.get("gradient_checkpointing", False)
    arguments = TrainingArguments(
        output_dir=str(folder.parent / "trained"), max_steps=STEPS, per_device_train_batch_size=row.batch, save_strategy="no",
        report_to=[], disable_tqdm=True, use_cpu=device == "cpu", optim="adamw_torch", gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None)
    model = with_method(base, row)
    give_back_behind_layers(model, churn=checkpointing)
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    answer.send((held, peak_memory(device)[0]))
