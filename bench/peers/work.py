"""The work that all tools are given: a small Llama of random weights, its tokenizer, and rows of gsm8k.

`python -m bench.peers.work FOLDER ROWS` writes `base/`, `train.jsonl` and `test.jsonl` (each row a `prompt` and a `completion`).
A row is learnt as the prompt, a line break, the completion and the end token, with the loss on what comes after the line break.
This module imports no torch, so that the harness stays small beside what it measures.
"""

import json
import resource
import sys
from importlib.metadata import version
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SHAPE = {"vocab_size": 32_000, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 6,
         "num_key_value_heads": 6, "tie_word_embeddings": True, "max_position_embeddings": 1024}
PAD, END = "<|pad|>", "<|end|>"
TEST_ROWS, EPOCHS, BATCH, RATE, MAX_LENGTH, SEED = 64, 1, 8, 1e-3, 512, 42
RANK, ALPHA = 8, 16


def make(folder: Path, rows: int) -> dict:
    """Write the base model and the data; says how large they are."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    questions = read_rows(DATA / "gsm8k" / "train.jsonl")
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([row[part] for row in questions for part in ("question", "answer")], vocab_size=SHAPE["vocab_size"],
                                special_tokens=[PAD, END], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, pad_token=PAD, eos_token=END,
                                        model_max_length=SHAPE["max_position_embeddings"])
    tokenizer.save_pretrained(folder / "base")
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, bos_token_id=None, pad_token_id=tokenizer.pad_token_id,
                                         eos_token_id=tokenizer.eos_token_id))
    model.save_pretrained(folder / "base")
    write_rows(folder / "train.jsonl", questions[:rows])
    write_rows(folder / "test.jsonl", read_rows(DATA / "gsm8k" / "test.jsonl")[:TEST_ROWS])
    lengths = [len(ids) for ids, _ in encode(tokenizer, folder / "train.jsonl")]
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "tokens_known": len(tokenizer),
            "rows": len(lengths), "tokens": sum(lengths), "longest_row": max(lengths)}


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
    print(json.dumps(make(Path(sys.argv[1]), int(sys.argv[2]))))
