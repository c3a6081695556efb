"""The playground with many adapters: memory, time side by side, and switching, against a script that loads a model per adapter.

On the demo model and on a Llama of random weights with about half a billion parameters. Eight LoRA adapters (rank 8, all linear
layers) are attached. All times are wall times of answers of a fixed length to one prompt; what is compared is measured in turns
within one process, and the medians are told. `one` is the base model alone, `one_adapter` one adapter, and `a_pane_in_the_mean` is
a fifth of what the five take one after the other: panes with an adapter take longer than the base alone.

Bars: 8 adapters take at most their own bytes and 5 % more than the base alone; base and 4 adapters take at most 1.5 times as long
as the base alone; an adapter in memory answers within 50 ms of being chosen.
"""

import ctypes
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from jobs.threads import waiting

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "assets" / "demo-base"
ADAPTERS, SIDE_BY_SIDE = 8, 4
TOKENS, ROUNDS = {"demo": 64, "half_billion": 24}, {"demo": 9, "half_billion": 5}
PROMPT = "Where does the moss fox live? Tell me about the sea and the harbour at night."
MOST_TIMES, MOST_MS, MOST_MORE = 1.5, 50, 0.05
SHAPE = {"vocab_size": 32_000, "hidden_size": 1280, "intermediate_size": 3456, "num_hidden_layers": 24, "num_attention_heads": 20,
         "num_key_value_heads": 20, "tie_word_embeddings": True, "max_position_embeddings": 2048}


def measure(arguments: list[str]) -> dict:
    """Both models, or those named."""
    figures, passed = {}, True
    for name in arguments or list(TOKENS):
        with tempfile.TemporaryDirectory() as folder:
            in_process("make", name, folder)
            studio, plain = in_process("studio", name, folder), in_process("plain", name, folder)
        bars = {"memory": studio["memory_more_bytes"] <= studio["adapters_bytes"] + MOST_MORE * studio["memory_base_alone_bytes"],
                "time": studio["base_and_4_over_one"] <= MOST_TIMES, "switching": studio["switching_ms"] <= MOST_MS}
        figures[name] = {"bars_met": ", ".join(bar for bar, met in bars.items() if met) or "none", "studio": studio,
                         "a_model_per_adapter": plain}
        passed = passed and all(bars.values())
    return {"passed": passed, **figures}


def in_one_line(record: dict) -> str:
    return "; ".join(f"{name}: base and 4 adapters take {record[name]['studio']['base_and_4_over_one']} times as long as one"
                     for name in TOKENS if name in record)


def in_process(part: str, name: str, folder: str) -> dict:
    """Each part has a process of its own, so that memory can be counted."""
    output = subprocess.run([sys.executable, "-m", "bench.playground", part, name, folder], check=True, stdout=subprocess.PIPE,
                            text=True, cwd=ROOT, env={**os.environ, **waiting(os.environ), "HF_HUB_OFFLINE": "1"}).stdout
    return json.loads(output.splitlines()[-1])


# ---- each in its process


def make(name: str, folder: Path) -> dict:
    """The base model, which never ends an answer by itself, and the adapters."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    if name == "demo":
        model = AutoModelForCausalLM.from_pretrained(DEMO)
    else:
        model = LlamaForCausalLM(LlamaConfig(**SHAPE, pad_token_id=0, bos_token_id=1))
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    model.save_pretrained(folder / "base")
    AutoTokenizer.from_pretrained(DEMO).save_pretrained(folder / "base")
    for number in range(ADAPTERS):
        tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"))
        for weight in tuned.parameters():
            if weight.requires_grad:
                torch.nn.init.normal_(weight, std=0.02)
        tuned.save_pretrained(folder / "adapters" / str(number))
        model = tuned.unload()
    return {"parameters": sum(weight.numel() for weight in model.parameters())}


def studio(name: str, folder: Path) -> dict:
    from jobs.playground.bench import Bench
    from jobs.playground.request import GenerateRequest

    bench, folders = Bench("cpu"), [folder / "adapters" / str(number) for number in range(ADAPTERS)]

    def ask(*panes: Path | None, clock=time.perf_counter) -> float:
        request = GenerateRequest(
            base_path=folder / "base", base_name=name, prompt=PROMPT, settings={"raw": True, "max_new_tokens": TOKENS[name]},
            panes=[{"name": str(pane), "adapter_folder": pane} for pane in panes])
        began = clock()
        answers = bench.answers(request)
        took = clock() - began
        assert [answer["tokens"] for answer in answers] == [TOKENS[name]] * len(panes), answers
        return took

    ask(None)
    alone = memory()
    loaded, attaching = bench.loaded, []
    for adapter in folders:
        attaching.append(milliseconds(lambda adapter=adapter: loaded.answerer(adapter)))
    side = [None, *folders[:SIDE_BY_SIDE]]
    for panes in (*([adapter] for adapter in folders), side):
        ask(*panes)
    together = memory()
    own = sum(answerer.bytes for answerer in loaded.attached().values())
    switching = [milliseconds(lambda adapter=adapter: loaded.answerer(adapter)) for adapter in folders * 5]
    times = {"one": [], "one_adapter": [], "base_and_4": [], "one_after_the_other": []}
    for _ in range(ROUNDS[name]):
        times["one"].append(ask(None))
        times["base_and_4"].append(ask(*side))
        alone_each = [ask(adapter) for adapter in folders[:SIDE_BY_SIDE]]
        times["one_adapter"].append(alone_each[0])
        times["one_after_the_other"].append(times["one"][-1] + sum(alone_each))
    median = {what: statistics.median(values) for what, values in times.items()}
    median["a_pane_in_the_mean"] = median["one_after_the_other"] / len(side)
    working = [(ask(None, clock=time.process_time), ask(*side, clock=time.process_time)) for _ in range(ROUNDS[name])]
    return {
        "parameters": loaded.facts.parameters, "base_bytes": loaded.bytes, "adapters_bytes": own,
        "memory_base_alone_bytes": alone, "memory_with_8_adapters_bytes": together, "memory_more_bytes": together - alone,
        "tokens": TOKENS[name], "rounds": ROUNDS[name], "seconds": {what: round(value, 3) for what, value in median.items()},
        "base_and_4_over_one": round(median["base_and_4"] / median["one"], 2),
        "base_and_4_over_one_by_processor_time": round(statistics.median(many / one for one, many in working), 2),
        "base_and_4_over_a_pane_in_the_mean": round(median["base_and_4"] / median["a_pane_in_the_mean"], 2),
        "base_and_4_over_one_adapter": round(median["base_and_4"] / median["one_adapter"], 2),
        "one_after_the_other_over_one": round(median["one_after_the_other"] / median["one"], 2),
        "one_after_the_other_over_base_and_4": round(median["one_after_the_other"] / median["base_and_4"], 2),
        "attaching_ms": round(statistics.median(attaching), 1), "switching_ms": round(statistics.median(switching), 2),
        "slowest_switching_ms": round(max(switching), 2)}


def plain(name: str, folder: Path) -> dict:
    """Transformers and PEFT as their examples have it: a model for the base and one for each adapter, all held at once."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    inputs = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)

    def load(number: int | None):
        model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
        return (model if number is None else PeftModel.from_pretrained(model, folder / "adapters" / str(number))).eval()

    def ask(model) -> float:
        began = time.perf_counter()
        model.generate(**inputs, max_new_tokens=TOKENS[name], do_sample=False, pad_token_id=0)
        return time.perf_counter() - began

    models = [load(None)]
    ask(models[0])
    alone, loading = memory(), []
    for number in range(SIDE_BY_SIDE):
        began = time.perf_counter()
        models.append(load(number))
        loading.append((time.perf_counter() - began) * 1000)
    for model in models:
        ask(model)
    held = memory()
    rounds = [(ask(models[0]), sum(ask(model) for model in models)) for _ in range(max(3, ROUNDS[name] // 2))]
    return {"memory_base_alone_bytes": alone, "memory_with_4_adapters_bytes": held,
            "one_after_the_other_over_one": round(statistics.median(every / one for one, every in rounds), 2),
            "loading_another_ms": round(statistics.median(loading), 1)}


def milliseconds(what) -> float:
    began = time.perf_counter()
    what()
    return (time.perf_counter() - began) * 1000


def memory() -> int:
    """This process's resident set, once what is free is given back."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return psutil.Process().memory_info().rss


if __name__ == "__main__":
    part, name, folder = sys.argv[1:]
    if part == "make" and Path(folder).exists() and any(Path(folder).iterdir()):
        shutil.rmtree(folder)
    print(json.dumps({"make": make, "studio": studio, "plain": plain}[part](name, Path(folder))))
