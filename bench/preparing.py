"""A chat file becomes rows of tokens with the loss on the answers only: ours against plain datasets and transformers on one file.

Bars: the import stays under 500 MB of resident memory; importing and tokenising is no slower than plain datasets and transformers
with one or two processes, and takes no more memory. `--megabytes N` makes a smaller file. Each side runs in a fresh process; peak
memory is the resident memory of the process and its children together, sampled 20 times a second, with the pages of mapped files.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
BASE = ROOT / "assets" / "demo-base"
MOST_IMPORT_BYTES = 500e6
LONGEST = 512  # tokens of a row
SAMPLE_SECONDS = 0.05
SENTENCES = 4000

SYLLABLES = "ba ne ri to ka lu me shi dor wen tal ves pra gon ish ule ant ero qui sto".split()
SIDES = {"plain": ("plain_1",), "plain_two_processes": ("plain_2",), "ours": ("import", "tokenise")}


def measure(arguments: list[str]) -> dict:
    options = argparse.ArgumentParser(prog="python -m bench preparing")
    options.add_argument("--megabytes", type=int, default=1000, help="size of the file that is made")
    megabytes = options.parse_args(arguments).megabytes
    with tempfile.TemporaryDirectory(prefix="bench-preparing-") as folder:
        work = Path(folder)
        path = work / "chats.jsonl"
        rows = write_chats(path, megabytes * 10**6)
        sides = {}
        for name, steps in SIDES.items():
            sides[name] = summed({step: in_fresh_process(step, path, work) for step in steps}, rows)
            print(json.dumps({name: sides[name]}), file=sys.stderr, flush=True)
            clear(work)
    ours, plain = sides["ours"], [sides["plain"], sides["plain_two_processes"]]
    ratios = {name: {"rows_per_second": round(ours["rows_per_second"] / sides[name]["rows_per_second"], 2),
                     "processor_seconds": round(ours["processor_seconds"] / sides[name]["processor_seconds"], 2),
                     "peak_memory": round(ours["peak_bytes"] / sides[name]["peak_bytes"], 2)} for name in list(sides)[:2]}
    return {
        "passed": ours["import"]["peak_bytes"] < MOST_IMPORT_BYTES
        and all(ours["rows_per_second"] >= side["rows_per_second"] and ours["peak_bytes"] <= side["peak_bytes"] for side in plain)
        and len({(side["tokens_of_2000_rows"], side["trained_tokens_of_2000_rows"]) for side in sides.values()}) == 1,
        "file_bytes": megabytes * 10**6, "rows": rows, "longest_row_in_tokens": LONGEST, **sides, "ours_to_plain": ratios,
    }


def in_one_line(record: dict) -> str:
    ratios = record["ours_to_plain"]
    return "; ".join(f"ours to {name.replace('_', ' ')}: {ratio['rows_per_second']} times the rows per second, "
                     f"{ratio['peak_memory']} times the memory" for name, ratio in ratios.items())


def summed(steps: dict[str, dict], rows: int) -> dict:
    """Figures of one side: its steps are done one after the other."""
    seconds = sum(step["seconds"] for step in steps.values())
    last = list(steps.values())[-1]
    return {"rows_per_second": round(rows / seconds), "seconds": round(seconds, 1),
            "processor_seconds": round(sum(step["processor_seconds"] for step in steps.values()), 1),
            "peak_bytes": max(step["peak_bytes"] for step in steps.values()),
            "peak_bytes_without_shared_pages": max(step["peak_bytes_without_shared_pages"] for step in steps.values()),
            "tokens_of_2000_rows": last["tokens"], "trained_tokens_of_2000_rows": last["trained_tokens"],
            **(steps if len(steps) > 1 else {})}


def in_fresh_process(step: str, path: Path, work: Path) -> dict:
    """What a step counted, its seconds with the start of Python and all imports, and the peak of its memory."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(work / "cache"), "PYTHONPATH": str(ROOT),
                   "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TMPDIR": str(work)}
    if step == "tokenise":
        environment["TOKENIZERS_PARALLELISM"] = "false"  # as in a trainer
    began, used = time.perf_counter(), processor_seconds()
    with (work / f"{step}.json").open("w+") as output:
        process = subprocess.Popen([sys.executable, "-m", "bench.preparing", step, str(path), str(work)], stdout=output,
                                   env=environment, cwd=ROOT)
        peak = own = 0
        while process.poll() is None:
            now = memory_of(process.pid)
            peak, own = max(peak, now[0]), max(own, now[1])
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - began
        if process.returncode:
            sys.exit(f"The step {step} ended with {process.returncode}.")
        output.seek(0)
        counted = json.loads(output.read().splitlines()[-1])
    return {"seconds": round(seconds, 2), "processor_seconds": round(processor_seconds() - used, 1), "peak_bytes": peak,
            "peak_bytes_without_shared_pages": own, **counted}


def processor_seconds() -> float:
    """That all children so far have used, on all cores together."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_of(pid: int) -> tuple[int, int]:
    """Resident bytes of a process and its children: all, and those that are not shared with a file or another process."""
    total = own = 0
    try:
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            memory = process.memory_info()
            total += memory.rss
            own += memory.rss - memory.shared
    except psutil.Error:  # it has just ended
        pass
    return total, own


def clear(work: Path) -> None:
    """Nobody finds what another side has left."""
    for name in ("cache", "imported", "prepared"):
        shutil.rmtree(work / name, ignore_errors=True)


def write_chats(path: Path, size: int) -> int:
    """Conversations of one to three questions and answers in words as rare as words are; returns the number of rows."""
    chance = random.Random(4)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(8000)]
    weights = [1 / (rank + 2) for rank in range(len(words))]
    sentences = [" ".join(chance.choices(words, weights, k=chance.randint(5, 25))).capitalize() + chance.choice(".?!")
                 for _ in range(SENTENCES)]
    written = rows = 0
    with path.open("w", encoding="utf-8") as stream:
        while written < size:
            turns = [{"role": "system", "content": chance.choice(sentences)}] if chance.random() < 0.3 else []
            for _ in range(chance.randint(1, 3)):
                turns.append({"role": "user", "content": " ".join(chance.choices(sentences, k=chance.randint(1, 3)))})
                turns.append({"role": "assistant", "content": " ".join(chance.choices(sentences, k=chance.randint(1, 6)))})
            line = json.dumps({"messages": turns}, ensure_ascii=False) + "\n"
            stream.write(line)
            written += len(line)
            rows += 1
    return rows


# ---- the sides, each in a process of its own


def plain(path: Path, work: Path, processes: int) -> dict:
    """As a careful user writes it: render each conversation and its prompts, tokenise in batches, labels from the offsets."""
    from datasets import load_dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BASE, local_files_only=True)

    def encode(batch: dict) -> dict:
        texts, spans = [], []
        for messages in batch["messages"]:
            texts.append(tokenizer.apply_chat_template(messages, tokenize=False))
            spans.append([
                (len(tokenizer.apply_chat_template(messages[:turn], tokenize=False, add_generation_prompt=True)),
                 len(tokenizer.apply_chat_template(messages[:turn + 1], tokenize=False)))
                for turn, message in enumerate(messages) if message["role"] == "assistant"])
        encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False,
                            truncation=True, max_length=LONGEST)
        labels = []
        for ids, offsets, answers in zip(encoded["input_ids"], encoded["offset_mapping"], spans, strict=True):
            row, number = [-100] * len(ids), 0
            for place, (first, last) in enumerate(offsets):
                while number < len(answers) and first >= answers[number][1]:
                    number += 1
                if number < len(answers) and first >= answers[number][0] and last <= answers[number][1]:
                    row[place] = ids[place]
            labels.append(row)
        return {"input_ids": encoded["input_ids"], "labels": labels}

    data = load_dataset("json", data_files=str(path), split="train")
    data = data.map(encode, batched=True, remove_columns=data.column_names, num_proc=processes if processes > 1 else None)
    return count(data, lambda batch: sum(1 for row in batch["labels"] for label in row if label != -100))


def import_ours(path: Path, work: Path) -> dict:
    """The file as the studio imports it: every row checked, what is left out listed."""
    from jobs.data import import_rows, look

    data = import_rows(look([path]), work / "imported")
    return {"rows": data.kept, "left_out": data.left_out_count}


def tokenise_ours(path: Path, work: Path) -> dict:
    """The imported rows as a training prepares them, on the disk."""
    from types import SimpleNamespace

    from jobs.data import open_imported
    from jobs.preparing.encoding import load_tokenizer
    from jobs.preparing.prepare import prepare
    from jobs.preparing.texts import encode_texts

    data = open_imported(work / "imported")
    context = SimpleNamespace(
        task=SimpleNamespace(encode=lambda batch, context: encode_texts(batch, context.tokenizer, data.format, LONGEST)),
        recipe=SimpleNamespace(task=data.task, training=SimpleNamespace(max_length=LONGEST, packing=False)), format=data.format,
        labels=data.labels, tokenizer=load_tokenizer(BASE), base_path=BASE, prepared_dir=work / "prepared",
        report=SimpleNamespace(say=lambda *_: None))
    rows, _ = prepare(data.examples, context)
    return count(rows, lambda batch: sum(last - first for row in batch["trained"]
                                         for first, last in zip(row[::2], row[1::2], strict=True)))


def count(rows, trained) -> dict:
    """Tokens of the first rows, and those of them that are trained: all sides must have made the same."""
    first = rows[:2000]
    return {"rows": len(rows), "tokens": sum(map(len, first["input_ids"])), "trained_tokens": trained(first)}


if __name__ == "__main__":
    STEPS = {"plain_1": lambda *given: plain(*given, processes=1), "plain_2": lambda *given: plain(*given, processes=2),
             "import": import_ours, "tokenise": tokenise_ours}
    print(json.dumps(STEPS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))))
