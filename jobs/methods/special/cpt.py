"""Context-aware prompt tuning: some training rows stand before every row, and their embeddings learn to shift."""

import random
from typing import Any

from pydantic import Field

from jobs.methods.base import MethodSettings
from jobs.methods.special.base import Special, put_back, trained_state
from jobs.recipe import Recipe

LOOKED_AT = 2000  # rows, among which those of the context are found
NO_PROMPTS = "It learns from rows with an input and an answer, and plain texts have no such parts."
# how PEFT numbers the parts of the k-th row of the context, from 0: 4k + one of these; SEPARATOR for what belongs to none
SEPARATOR, INPUT_TEMPLATE, INPUT, ANSWER_TEMPLATE, ANSWER = range(5)


class ContextPrompt(Special):
    only_tasks = ("text-generation",)
    not_preferences = "It learns by examples of answers."
    plain_forward = True  # its loss needs the logits of the context too
    mean_loss = True
    settings: dict[str, tuple[Any, Any]] = {
        "context_rows": (int, Field(
            10, ge=1, le=64, title="Examples", json_schema_extra={"shown": True},
            description="How many training rows stand before every row, at most half of all. They are not trained on besides.")),
        "context_tokens": (int, Field(
            256, ge=16, le=65_536, title="Room for examples", json_schema_extra={"shown": True, "unit": "tokens"},
            description="How much of the base model's context they take at most. Fewer rows are used where they are long."))}

    def refuse(self, settings: MethodSettings, recipe: Recipe, facts) -> list[str]:
        plain = [f"The data are plain texts. {NO_PROMPTS} Choose another method."] if recipe.dataset.format == "text" else []
        if recipe.training.label_smoothing:
            plain.append("training.label_smoothing is set, and this method weighs its answers itself. Set it to 0.")
        return super().refuse(settings, recipe, facts) + plain

    def taken(self, settings: MethodSettings) -> int:
        return settings.context_tokens

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        ids, kinds, used = context_of(context.rows, settings.context_rows, settings.context_tokens, context.recipe.seed)
        context.used_rows = used
        context.report.say(f"{len(used)} training rows, {len(ids)} tokens in all, stand before every row and are not trained on "
                           "beside that.")
        return {**values, "cpt_token_ids": ids, "cpt_mask": [1] * len(ids), "cpt_tokens_type_mask": kinds}

    def opened(self, model) -> None:
        """Measure only what is answered to a row, as with other methods, and let nothing move when the prompt is saved."""
        import torch

        forward, embedding = model._cpt_forward, model.get_prompt_embedding_to_save

        def measured(input_ids, inputs_embeds, config, task_ids, rows, labels=None, num_items_in_batch=None, **options):
            if model.training and labels is not None:
                return forward(input_ids, inputs_embeds, config, task_ids, rows, labels=labels, **options)
            output = forward(input_ids, inputs_embeds, config, task_ids, rows, labels=None, **options)
            if labels is not None:  # each token is foretold by the one before it, the first by the context's last
                foretelling = output.logits[:, -labels.shape[1] - 1:-1].flatten(0, 1).float()
                output.loss = torch.nn.functional.cross_entropy(foretelling, labels.flatten().to(foretelling.device))
            return output

        def saved(adapter_name: str):
            moved = model.prompt_encoder[adapter_name].delta_embedding.weight
            held = moved.data
            try:
                return embedding(adapter_name)
            finally:
                moved.data = held  # peft cuts long shifts in place when it is asked, and twice is not as once

        model._cpt_forward, model.get_prompt_embedding_to_save = measured, saved

    def state(self, model) -> dict[str, Any]:
        return trained_state(model)

    def restore(self, model, state: dict[str, Any]) -> None:
        put_back(model, state)


def context_of(rows, wanted: int, room: int, seed: int) -> tuple[list[int], list[int], set[int]]:
    """Tokens of some training rows, the part that each belongs to, and the rows' numbers.

    What all of them begin with, and what stands before all their answers, is the template around their inputs and answers.
    """
    chosen = choose(rows, min(wanted, max(1, len(rows) // 2)), room, seed)
    if not chosen:
        raise ValueError(f"none of the first training rows has an input and one answer in at most {room} tokens. Raise "
                         "context_tokens")
    prompts = [ids[:first] for _, ids, first, _ in chosen]
    before = alike(prompts)
    after = min(alike([prompt[::-1] for prompt in prompts]), min(map(len, prompts)) - before)
    tokens: list[int] = []
    kinds: list[int] = []
    for place, (_, ids, first, end) in enumerate(chosen):
        parts = [INPUT_TEMPLATE] * before + [INPUT] * (first - before - after) + [ANSWER_TEMPLATE] * after
        kinds += [4 * place + part for part in parts + [ANSWER] * (end - first)] + [SEPARATOR] * (len(ids) - end)
        tokens += ids
    return tokens, kinds, {number for number, *_ in chosen}


def choose(rows, wanted: int, room: int, seed: int) -> list[tuple[int, list[int], int, int]]:
    """Some rows with one answer that fit in together: number, tokens, where the answer begins, and where it ends."""
    numbers = list(range(min(len(rows), LOOKED_AT)))
    random.Random(seed).shuffle(numbers)
    found, left = [], room
    for number in numbers:
        row = rows[number]
        ids, trained = row["input_ids"], row["trained"]
        if len(trained) == 2 and trained[0] and len(ids) <= left:
            found.append((number, ids, *trained))
            left -= len(ids)
        if len(found) == wanted:
            break
    return found


def alike(rows: list[list[int]]) -> int:
    """How many tokens all rows begin with alike; of a single one, none."""
    if len(rows) < 2:
        return 0
    return next((place for place, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1), min(map(len, rows)))


CPT = ContextPrompt()
