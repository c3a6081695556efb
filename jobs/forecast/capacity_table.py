"""Makes capacity.json: `python -m jobs.forecast.capacity_table [--missing] [MODEL …]`, all models where none is named.

With --missing only what the table does not have yet: after a change in the forecast, make all of it.

Each cell is forecast at five sizes of batch, which say how the bytes of every phase of a step grow: with the tokens, otherwise with
the first ones (logits are worked out a tile at a time), and with the pairs of tokens in a row (masks and scores). A model is built
from its published dimensions; nothing is downloaded. torch is imported in functions.
"""

import copy
import json
import multiprocessing
import sys
import time
import warnings

from jobs.devices import DeviceFacts
from jobs.forecast.capacity import TABLE, TILE, VARIANTS, Model, Phase, Variant
from jobs.forecast.result import PARTS
from jobs.memory import EVALUATION_ROWS

GENERATION = "text-generation"
KINDS = ("cuda", "cpu")
PROCESSES = 2
LARGEST_ON_CPU = 1.5e9  # parameters, without embeddings: what is larger takes too long there
PLACES = ((1, 256), (2, 512), (16, 512), (1, 2048), (1, 4096))  # rows and tokens at which is forecast, the smallest first
FEW_TOKENS = ((1, 128), (4, 256), (16, 512), (2, 512), (1, 512))  # of a model that reads no more
ASKED = [(rows, length) for length in (256, 512, 1024, 2048, 4096, 16384, 131072) for rows in (1, 2, 4, 8, 16, 64, 512)
         if rows * length <= 2**21]


def architectures() -> dict:
    """Configurations as their makers have published them, with the task."""
    from transformers import LlamaConfig, MistralConfig, Qwen2Config

    def llama(hidden, inner, layers, heads, shared, context=131072, vocabulary=128256, tied=False, **more):
        return LlamaConfig(vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
                           num_attention_heads=heads, num_key_value_heads=shared, max_position_embeddings=context,
                           tie_word_embeddings=tied, **more)

    def qwen(hidden, inner, layers, heads, shared, vocabulary=151936, context=32768, tied=False):
        return Qwen2Config(vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
                           num_attention_heads=heads, num_key_value_heads=shared, max_position_embeddings=context,
                           tie_word_embeddings=tied)

    generating = {
        "SmolLM2-135M": llama(576, 1536, 30, 9, 3, context=8192, vocabulary=49152, tied=True),
        "Qwen2.5-0.5B": qwen(896, 4864, 24, 14, 2, tied=True),
        "Llama-3.2-1B": llama(2048, 8192, 16, 32, 8, tied=True, head_dim=64),
        "Llama-3.2-3B": llama(3072, 8192, 28, 24, 8, tied=True, head_dim=128),
        "Llama-3.1-8B": llama(4096, 14336, 32, 32, 8),
        "Qwen2.5-1.5B": qwen(1536, 8960, 28, 12, 2, tied=True),
        "Qwen2.5-7B": qwen(3584, 18944, 28, 28, 4, vocabulary=152064),
        "Mistral-7B-v0.3": MistralConfig(vocab_size=32768, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
                                         num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=32768,
                                         sliding_window=None, tie_word_embeddings=False),
        "Qwen2.5-32B": qwen(5120, 27648, 64, 40, 8, vocabulary=152064),
        "Llama-3.1-70B": llama(8192, 28672, 80, 64, 8),
    }
    return {name: (config, GENERATION) for name, config in generating.items()}


def recipe_for(task: str, variant: Variant, rows: int, length: int):
    from jobs.methods import find_method
    from jobs.recipe import Recipe

    training = {"batch_size": rows, "max_length": length, "gradient_checkpointing": variant.gradient_checkpointing}
    recipe = Recipe(base_model="-", dataset={"source": "-"}, task=task, method=variant.method, training=training)
    return find_method(variant.method).complete(recipe)


def traced(config, task: str, variant: Variant, kind: str, rows: int, length: int, evaluates: bool):
    """One forecast, before the device's own is added."""
    from jobs.forecast.forecast import trace_recipe
    from jobs.forecast.result import Known

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recipe = recipe_for(task, variant, rows, length)
        # of a CPU nothing is known: without instructions for bf16 a run takes more memory
        return trace_recipe(recipe, copy.deepcopy(config), None, DeviceFacts(kind, bf16=kind == "cuda"), Known(evaluates=evaluates))


def cells_of(config, task: str, method: str, kind: str) -> tuple[dict[str, list[dict]], int]:
    """The phases of a method's cells of the table, by variant, and how many parameters the model has.

    An evaluation holds no activations for the way back, so that gradient checkpointing makes no difference to it.
    """
    places = FEW_TOKENS if config.max_position_embeddings <= FEW_TOKENS[-1][1] else PLACES
    cells, evaluating, parameters = {}, [], 0
    for variant in (variant for variant in VARIANTS if variant.method == method):
        found = {place: traced(config, task, variant, kind, *place, evaluates=not cells) for place in places}
        evaluating = evaluating or evaluation_of(found)
        cells[variant.name] = needed([*training_of(found), *evaluating])
        parameters = parameters or found[places[0]].total
    return cells, parameters


def training_of(found: dict) -> list[Phase]:
    """How each phase of a step grows, and that it takes no less than a short row does: there something else may be the highest."""
    from jobs.forecast.step import EVALUATION

    short, *places = found
    phases = []
    for name in found[short].peaks:
        if name != EVALUATION:
            fixed = fixed_parts(found, name)
            phases += [Phase(fixed, *training({place: found[place].peaks[name] for place in places})),
                       Phase(fixed, float(found[short].peaks[name]), 0.0, 0.0, 0.0)]
    return phases


def evaluation_of(found: dict) -> list[Phase]:
    from jobs.forecast.step import EVALUATION

    return evaluation({place: traced.peaks[EVALUATION] for place, traced in found.items()}, fixed_parts(found, EVALUATION))


def fixed_parts(found: dict, phase: str) -> dict[str, int]:
    return {part: min(traced.made_of[phase].get(part, 0) for traced in found.values()) for part in PARTS[:4]}


def training(sizes: dict[tuple[int, int], int]) -> tuple[float, float, float, float]:
    """The four numbers that make a phase as large as it is at four places."""
    import numpy as np

    rows = [[1, count * length, min(count * length, TILE), count * length * length] for count, length in sizes]
    scale = np.max(np.array(rows, float), axis=0)
    base, token, first, pair = np.linalg.solve(np.array(rows) / scale, np.array(list(sizes.values()), float)) / scale
    return tuple(float(number) for number in (base, token, first, max(0.0, pair)))


def evaluation(sizes: dict[tuple[int, int], int], fixed: dict[str, int]) -> list[Phase]:
    """Two phases of an evaluation: where logits are largest, as with short rows, and within the layers, as with long ones.

    Until a run trains on more rows than an evaluation takes at a time, those are the rows.
    """
    by_length = sorted({length: size for (rows, length), size in sizes.items() if rows <= EVALUATION_ROWS}.items())
    (short, one), (middle, other) = by_length[:2]
    token = max(0.0, (other - one) / (middle - short) / EVALUATION_ROWS)
    first = Phase(fixed, one - token * short * EVALUATION_ROWS, token, 0.0, 0.0, True)
    (long, one), (longer, other) = by_length[-2:]
    base = sum(fixed.values())
    a_token, longer_token = ((size - base) / (length * EVALUATION_ROWS) for size, length in ((one, long), (other, longer)))
    pair = max(0.0, (longer_token - a_token) / (longer - long))
    return [first, Phase(fixed, float(base), longer_token - pair * longer, 0.0, pair, True)]


def needed(phases: list[Phase]) -> list[dict]:
    """Those phases that are the highest for some batch."""
    highest = {max(range(len(phases)), key=lambda number: phases[number].bytes_at(*place)) for place in ASKED}
    return [rounded(phases[number]) for number in sorted(highest)]


def rounded(phase: Phase) -> dict:
    return {"fixed": phase.fixed, "base": round(phase.base), "token": round(phase.token, 1), "first": round(phase.first, 1),
            "pair": round(phase.pair, 3), "evaluates": phase.evaluates}


# ---- the script


def work(asked: tuple[str, str, str]) -> tuple:
    """One model with one method on one kind of device, in a process of its own."""
    kind, name, method = asked
    config, task = architectures()[name]
    began = time.monotonic()
    cells, parameters = cells_of(config, task, method, kind)
    return asked, cells, Model(name, task, parameters, config.max_position_embeddings), time.monotonic() - began


def main(wanted: list[str]) -> None:
    missing, names = "--missing" in wanted, [name for name in wanted if name != "--missing"]
    known = json.loads(TABLE.read_text("utf-8")) if TABLE.exists() else {"models": {}, "cells": {}}
    known_cells, configs = known["cells"], architectures()
    asked = [(kind, name, method) for name in names or configs for kind in KINDS
             if kind == "cuda" or parameters_about(configs[name][0]) <= LARGEST_ON_CPU
             for method in dict.fromkeys(variant.method for variant in VARIANTS)
             if not (missing and method in known_cells.get(kind, {}).get(name, {}))]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        for (kind, name, method), cells, model, seconds in pool.imap(work, asked):
            known_cells.setdefault(kind, {}).setdefault(name, {}).update(cells)
            if method == "full":  # whose count has no adapter in it
                known["models"][name] = {"task": model.task, "parameters": model.parameters, "context": model.context}
            TABLE.write_text(as_text(known), "utf-8")
            print(f"{kind} {name} {method}: {seconds:.0f} s", flush=True)


def parameters_about(config) -> float:
    return 12.0 * config.num_hidden_layers * config.hidden_size**2


def as_text(known: dict) -> str:
    """JSON with a line for each cell, which a person can compare."""
    lines = ['{"models": {']
    lines.append(",\n".join(f' "{name}": {json.dumps(facts)}' for name, facts in known["models"].items()))
    lines.append('},\n"cells": {')
    kinds = []
    for kind, by_model in known["cells"].items():
        rows = [f'  "{name}": {{\n' + ",\n".join(f'   "{variant}": {json.dumps(phases)}' for variant, phases in cells.items()) + "}"
                for name, cells in by_model.items()]
        kinds.append(f' "{kind}": {{\n' + ",\n".join(rows) + "}")
    return "\n".join([*lines, ",\n".join(kinds), "}}", ""])


if __name__ == "__main__":
    main(sys.argv[1:])
