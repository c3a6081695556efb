"""What LoRA's variants measure on the base model, before PEFT changes it."""

import dataclasses
import functools
import importlib.util
import itertools
import sys
import types

import torch

from jobs.methods.base import MethodSettings
from jobs.methods.lora_variants import VARIANTS, chosen, of_part
from jobs.preparing.answers import Renderer, TemplateRefuses
from jobs.training.calibration import batches, each_of, loss_of, spread
from jobs.training.context import TrainingContext
from jobs.training.lora.layers import check_ranks, resolve_layers
from jobs.training.lora.settings import corda_config, lora_ga_config

QUESTION = [{"role": "user", "content": "Where is it?"}]
CHECKED_ROWS = 1000  # that are searched for an invocation


def before(base, config, settings: MethodSettings, context: TrainingContext, rows):
    """Look at rows where a variant starts from them, and remember what it will change. Nothing is looked at again to go on."""
    names = chosen(settings)
    if "alora" in names:
        config.alora_invocation_tokens = invocation_of(settings, context, rows)
    if "kasa" in names:
        # the very tensors, not copies: they go when `after` has taken what it needs
        base.weights_before = {module: module.weight.data for module in base.modules() if isinstance(module, torch.nn.Linear)}
    if any(variant.moves_base or variant.looks_at_rows for variant in names.values()):
        resolve_layers(base, config, context)
    if context.checkpoint or not any(variant.looks_at_rows for variant in names.values()):
        return base
    looked_at = spread(rows, settings.calibration_rows)
    context.report.say(f"Looking at {len(looked_at):,} rows for the start of {VARIANTS[of_part(settings, 'start')].title}.")
    if "corda" in names:
        config.corda_config = corda_config(settings)
        prepare_corda(base, config, looked_at, context)
    elif "lora-ga" in names:
        config.lora_ga_config = lora_ga_config(settings)
        prepare_lora_ga(base, config, looked_at, context)
    return base


def prepare_corda(base, config, rows: list[dict], context: TrainingContext) -> None:
    """CorDA needs, for each layer, how its inputs go together over real texts, without padding."""
    corda = peft_corda()
    target_modules = corda.target_modules
    check_ranks(target_modules(base, config), config, "CorDA")

    def refuse(name, module, inputs):
        if inputs[0].dim() != 3:
            raise ValueError(f"CorDA needs layers that see every token, and {name} sees one vector for a text. Put it into "
                             "exclude_modules.")

    def run() -> None:
        handles = [module.register_forward_pre_hook(functools.partial(refuse, name))
                   for name, module in target_modules(base, config)]
        each_of(rows, context, lambda text: base(**text))
        for handle in handles:
            handle.remove()

    try:
        corda.preprocess_corda(base, config, run)
    except torch.linalg.LinAlgError as error:
        raise ValueError(f"the rows looked at do not tell a layer's inputs apart ({error}). Raise calibration_rows.") from error


def peft_corda():
    """PEFT's module, which takes its dataclass from the package attrs without asking for it; Python's own serves as well."""
    if "attr" in sys.modules or importlib.util.find_spec("attr"):
        return importlib.import_module("peft.tuners.lora.corda")
    sys.modules["attr"] = types.SimpleNamespace(dataclass=dataclasses.dataclass)
    try:
        return importlib.import_module("peft.tuners.lora.corda")
    finally:
        del sys.modules["attr"]


def prepare_lora_ga(base, config, rows: list[dict], context: TrainingContext) -> None:
    """LoRA-GA needs, for each layer, the gradient of the loss on real batches."""
    from peft.tuners.lora.loraga import get_target_modules, preprocess_loraga

    check_ranks(get_target_modules(base, config), config, "LoRA-GA", times=2)

    def run() -> None:
        for batch in batches(rows, context.recipe.training.batch_size, context):
            loss_of(base, batch, context).backward()

    preprocess_loraga(base, config, run)


def invocation_of(settings: MethodSettings, context: TrainingContext, rows) -> list[int]:
    """The tokens from which on an aLoRA speaks. Raises ValueError where the training rows do not have them."""
    tokens = settings.alora_invocation_tokens
    if tokens is None and settings.alora_invocation:
        tokens = context.tokenizer(settings.alora_invocation, add_special_tokens=False)["input_ids"]
    elif tokens is None:
        tokens = answer_tokens(context.tokenizer)
    looked_at = spread(rows, CHECKED_ROWS)
    have = sum(any(_holds(ids, tokens) for name, ids in row.items() if name == "input_ids" or name.endswith("_ids"))
               for row in looked_at) if tokens else 0
    text = context.tokenizer.decode(tokens or [])
    if not have:
        raise ValueError(f"no training row holds the invocation '{text}', so aLoRA would learn nothing. Set alora_invocation to a "
                         "text that stands before each answer.")
    if have < len(looked_at):
        context.report.say(f"{len(looked_at) - have:,} of {len(looked_at):,} rows do not hold the invocation '{text}', and teach "
                           "nothing.", "warning")
    return list(tokens)


def answer_tokens(tokenizer) -> list[int]:
    """What the chat template puts before an answer; empty where it cannot be told."""
    if not tokenizer.chat_template:
        return []
    try:
        asked, answered = (Renderer(tokenizer).render(QUESTION, answer_next=wanted) for wanted in (False, True))
    except TemplateRefuses:
        return []
    asked, answered = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (asked, answered))
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(asked, answered, strict=False)))
    return answered[same:]


def _holds(ids: list[int], wanted: list[int]) -> bool:
    return any(ids[place:place + len(wanted)] == wanted for place, token in enumerate(ids) if token == wanted[0])
