"""LLaMA-Factory through `llamafactory-cli train` in an environment of its own, which `--make` sets up.

Its defaults here: fp32, gradient checkpointing, no packing, no grouping by length, rows padded to a multiple of eight. The template
`empty` adds nothing to the text, so the data have the line break and the end token in them. `seconds_to_first_step` is counted from
launching the command to the first line of its trainer_log.jsonl, which it writes after the first step.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import yaml

from bench.peers import work

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".peers" / "llama-factory"
PINNED = {  # torch, torchaudio and torchvision of one release: left to itself, pip takes three that do not go together
    "llamafactory": "0.9.5", "torch": "2.11.0", "torchaudio": "2.11.0", "torchvision": "0.26.0", "transformers": "5.6.0",
    "peft": "0.18.1", "trl": "0.24.0", "accelerate": "1.11.0", "datasets": "4.0.0", "tokenizers": "0.22.2",
    "bitsandbytes": "0.50.2"}
POLL_SECONDS = 0.02


def make() -> dict:
    """Set the environment up where it is not as pinned; returns its versions."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    if installed(python) != PINNED:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *(f"{name}=={version}" for name, version in PINNED.items())],
                       check=True, stdout=sys.stderr)
    if (found := installed(python)) != PINNED:
        sys.exit(f"{ENVIRONMENT} has {found}, and {PINNED} are wanted. Remove the folder and run it again.")
    return found


def installed(python: Path) -> dict:
    """The versions of the pinned packages there; {} where one is lacking."""
    script = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {list(PINNED)}}}))"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True)
    return {name: version.partition("+")[0] for name, version in json.loads(done.stdout).items()} if done.returncode == 0 else {}


def main(folder: Path, out: Path) -> dict:
    """Train on the work in `folder`; data, settings and what comes out are in `out`."""
    given = work.read(folder)
    rows = [work.learnt(row) for row in work.read_rows(folder / "train.jsonl")]
    rows = [{"instruction": prompt, "input": "", "output": answer} for prompt, answer in rows]
    (out / "rows.json").write_text(json.dumps(rows), "utf-8")
    (out / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json"}}), "utf-8")
    (out / "train.yaml").write_text(yaml.safe_dump({
        "model_name_or_path": str(folder / "base"), "stage": "sft", "do_train": True, "finetuning_type": "lora",
        "lora_rank": work.RANK, "lora_alpha": work.ALPHA, "lora_target": "all", "dataset_dir": str(out), "dataset": "rows",
        "template": "empty", "cutoff_len": given.max_length, "output_dir": str(out / "training"), "seed": work.SEED,
        "num_train_epochs": work.EPOCHS, "per_device_train_batch_size": given.batch, "learning_rate": work.RATE,
        "lr_scheduler_type": "linear", "warmup_steps": 0, "weight_decay": 0.0, "logging_steps": 1, "report_to": "none",
        "plot_loss": False, "include_num_input_tokens_seen": "non_padding",
        "bf16": given.on_gpu, **({"quantization_bit": 4} if given.nf4 else {})}), "utf-8")
    log, to_first_step = out / "training" / "trainer_log.jsonl", None
    launched = time.monotonic()
    process = subprocess.Popen([ENVIRONMENT / "bin" / "llamafactory-cli", "train", str(out / "train.yaml")], stdout=sys.stderr,
                               env={**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"})
    while process.poll() is None:
        if to_first_step is None and log.exists() and log.stat().st_size:
            to_first_step = time.monotonic() - launched
        time.sleep(POLL_SECONDS)
    if process.returncode:
        sys.exit(f"llamafactory-cli ended with {process.returncode}.")
    state = json.loads((out / "training" / "trainer_state.json").read_text("utf-8"))
    results = json.loads((out / "training" / "train_results.json").read_text("utf-8"))
    return {"real_tokens": state["num_input_tokens_seen"], "train_seconds": results["train_runtime"], "steps": state["global_step"],
            "seconds_to_first_step": to_first_step, "peak_memory_bytes": work.peak_bytes(resource.RUSAGE_CHILDREN),
            "adapter_dir": str(out / "training"), "versions": PINNED}


if __name__ == "__main__":
    print(json.dumps(make() if sys.argv[1:] == ["--make"] else main(Path(sys.argv[1]), Path(sys.argv[2]))))
