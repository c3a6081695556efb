"""The work that all tools are given: a Llama of random weights, its tokenizer, and rows of gsm8k.

`python -m bench.peers.work FOLDER ROWS [WORK]` writes `base/`, `train.jsonl` and `test.jsonl` (each row a `prompt` and a
`completion`), and `work.json`, what all tools are to keep to: WORK, a `Work` as JSON, or the small one for a processor. A row is
learnt as the prompt, a line break, the completion and the end token, with the loss on what comes after the line break. This module
imports no torch, so that the harness stays small beside what it measures.
"""

import json
import resource
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SHAPE = {"vocab_size": 32_000, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 6,
         "num_key_value_heads": 6, "tie_word_embeddings": True, "max_position_embeddings": 1024}
PAD, END = "<|pad|>", "<|end|>"
KNOWN_TOKENS = 32_000  # to the tokenizer, at most
TEST_ROWS, EPOCHS, RATE, SEED = 64, 1, 1e-3, 42
RANK, ALPHA = 8, 16


@dataclass(frozen=True)
class Work:
    """What the tools are to keep to beside the settings above, which are always the same."""

    shape: dict
    batch: int = 8
    max_length: int = 512
    joined: int = 1       # of gsm8k's rows in one row
    on_gpu: bool = False  # in bf16 then, where a tool has it
    nf4: bool = False     # the base model's weights


def make(folder: Path, rows: int, work: Work) -> dict:
    """Write the base model and the data; says how large they are."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    questions = read_rows(DATA / "gsm8k" / "train.jsonl")
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([row[part] for row in questions for part in ("question", "answer")], vocab_size=KNOWN_TOKENS,
                                special_tokens=[PAD, END], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, pad_token=PAD, eos_token=END,
                                        model_max_length=work.shape["max_position_embeddings"])
    tokenizer.save_pretrained(folder / "base")
    torch.manual_seed(SEED)
    with torch.device("cuda" if work.on_gpu else "cpu"):
        model = LlamaForCausalLM._from_config(
            LlamaConfig(**work.shape, bos_token_id=None, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id),
            dtype=torch.bfloat16 if work.on_gpu else torch.float32)
    model.save_pretrained(folder / "base")
    (folder / "work.json").write_text(json.dumps(asdict(work)), "utf-8")
    write_rows(folder / "train.jsonl", joined(questions, work.joined)[:rows])
    write_rows(folder / "test.jsonl", joined(read_rows(DATA / "gsm8k" / "test.jsonl"), work.joined)[:TEST_ROWS])
    lengths = [len(ids) for ids, _ in encode(tokenizer, folder / "train.jsonl")]
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "tokens_known": len(tokenizer),
            "rows": len(lengths), "tokens": sum(lengths), "longest_row": max(lengths)}


def joined(rows: list[dict], count: int) -> list[dict]:
    """So many rows in one: the first question asks, and all that comes after it is the answer."""
    groups = [rows[start:start + count] for start in range(0, len(rows), count)]
    return [{"question": first["question"],
             "answer": "\n".join([first["answer"], *(row[part] for row in more for part in ("question", "answer"))])}
            for first, *more in groups]


def read(folder: Path) -> Work:
    """What the work in a folder is."""
    return Work(**json.loads((folder / "work.json").read_text("utf-8")))


def encode(tokenizer, path: Path) -> list[tuple[list[int], int]]:
    """The token ids of each row, and how many of them are the prompt's."""
    encoded = []
    for row in read_rows(path):
        prompt, answer = (tokenizer(text, add_special_tokens=False).input_ids for text in learnt(row))
        encoded.append((prompt + answer, len(prompt)))
    return encoded


def learnt(row: dict) -> tuple[str, str]:
    """What stands before the answer, and the answer with its end."""
    return row["prompt"] + "\n", row["completion"] + END


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write_rows(path: Path, rows: list[dict]) -> None:
    """gsm8k's rows; no white space at their ends, which a tool may cut off or join to the line break."""
    path.write_text("".join(json.dumps({"prompt": row["question"].strip(), "completion": row["answer"].strip()}) + "\n"
                            for row in rows), "utf-8")


def peak_bytes(whose: int = resource.RUSAGE_SELF) -> int:
    """The largest resident set of this process, or with RUSAGE_CHILDREN of any process that it has waited for."""
    return resource.getrusage(whose).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def versions(*names: str) -> dict[str, str]:
    return {name: version(name) for name in names}


if __name__ == "__main__":
    wanted = Work(**json.loads(sys.argv[3])) if sys.argv[3:] else Work(SHAPE)
    print(json.dumps(make(Path(sys.argv[1]), int(sys.argv[2]), wanted)))
