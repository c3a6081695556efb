"""Unsloth in an environment of its own, which `--make` sets up: its own model class and its own checkpointing. It needs a GPU.

The rows and the trainer are those of the plain peer, so that all have the same tokens.
"""

import json
import subprocess
import sys
from pathlib import Path

from bench.peers import work

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".peers" / "unsloth"
VERSION = "2026.10.9"
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make() -> dict:
    """Set the environment up where it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"unsloth=={VERSION}", "psutil"], check=True, stdout=sys.stderr)
    return {"unsloth": VERSION}


def main(folder: Path, out: Path) -> dict:
    """Train on the work in `folder`, in a process of Unsloth's environment."""
    done = subprocess.run([ENVIRONMENT / "bin" / "python", "-m", "bench.peers.unsloth", "--inside", str(folder), str(out)],
                          stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"Unsloth ended with {done.returncode}.")
    return json.loads(done.stdout.splitlines()[-1])


def inside() -> None:
    from unsloth import FastLanguageModel  # isort: skip  (before transformers, which it changes)
    import torch
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    from bench.peers import common

    options = common.chosen()
    given = work.read(options.work)
    model, tokenizer = FastLanguageModel.from_pretrained(
        str(options.work / "base"), max_seq_length=given.max_length, dtype=torch.bfloat16, load_in_4bit=given.nf4)
    model = FastLanguageModel.get_peft_model(
        model, r=work.RANK, lora_alpha=work.ALPHA, lora_dropout=0, target_modules=LAYERS, random_state=work.SEED,
        use_gradient_checkpointing="unsloth")
    trainer = Trainer(model, TrainingArguments(**common.arguments(options)), DataCollatorForSeq2Seq(tokenizer),
                      common.rows_of(options.work, tokenizer), processing_class=tokenizer)
    common.train(trainer, options.out, "unsloth")


if __name__ == "__main__":
    if sys.argv[1:] == ["--make"]:
        print(json.dumps(make()))
    elif sys.argv[1] == "--inside":
        del sys.argv[1]
        inside()
    else:
        print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
