"""Full fine-tuning: which of the base model's own weights learn, and what else differs from a model with an adapter in it."""

import contextlib
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from jobs.methods.full import FullSettings
from jobs.recipe import LABELLED
from jobs.training.context import TrainingContext
from storage.problems import ArtefactCorrupt, TrainingStopped

HEADS = ("classifier", "score")  # what transformers calls the last layer of a classifier
POOLER = "pooler"
SHOWN = 3  # names in a sentence
HALF = (torch.float16, torch.bfloat16)


def is_whole(model) -> bool:
    """Whether a model learns itself, without an adapter."""
    return not isinstance(model, PeftModel)


def choose_weights(model: PreTrainedModel, settings: FullSettings, context: TrainingContext) -> PreTrainedModel:
    """Let the chosen weights learn, and freeze all others. A head that the base model lacked always learns."""
    chosen = chosen_weights(model, settings)
    if context.recipe.task in LABELLED:
        heads = (*HEADS, *context.new_modules)
        chosen |= {name for name, _ in model.named_parameters() if any(matches(part, name) for part in heads)}
    if context.recipe.task == "sentence-similarity":  # which means over the tokens: the pooler has no part in it
        chosen = {name for name in chosen if not matches(POOLER, name)}
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in chosen)
    return model


def chosen_weights(model: PreTrainedModel, settings: FullSettings) -> set[str]:
    """Names of the weights that learn; raises TrainingStopped for a name that no weight has."""
    names = [name for name, _ in model.named_parameters()]
    if not settings.train_last and not settings.train_layers:
        return set(names)
    chosen = set()
    for pattern in settings.train_layers or []:
        found = {name for name in names if matches(pattern, name)}
        if not found:
            raise TrainingStopped(f"method_settings.train_layers has '{pattern}', and no weight of this base model is called so. "
                                  f"They have names such as {', '.join(some_of(names))}. Change it and run it again.")
        chosen |= found
    tables = embeddings_of(model)
    if settings.train_last:
        chosen |= set(last_weights(model, names, settings.train_last)) - tables
    return chosen | tables if settings.train_embeddings else chosen


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern with wild cards is the name, or a part of one between dots is in it: layers.1 is in model.layers.1.mlp."""
    return fnmatchcase(name, pattern) or f".{pattern}." in f".{name}."


def some_of(names: list[str]) -> list[str]:
    """A few names from the first, the middle and the last part of a model."""
    return [names[round(place * (len(names) - 1) / (SHOWN - 1))] for place in range(min(SHOWN, len(names)))]


def embeddings_of(model: PreTrainedModel) -> set[str]:
    """Names of the tables of embeddings. One that is the output layer too has the name of the table."""
    return {f"{name}.{inner}" for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding)
            for inner, _ in module.named_parameters()}


def last_weights(model: PreTrainedModel, names: list[str], count: int) -> list[str]:
    """Names of the weights of the last layers of the stack, and of what the model defines after the stack."""
    stack, layers = stack_of(model)
    inside = [place for place, name in enumerate(names) if name.startswith(f"{stack}.")]
    first = tuple(f"{stack}.{number}." for number in range(max(0, layers - count), layers))
    return [name for place, name in enumerate(names) if name.startswith(first) or place > inside[-1]]


def stack_of(model: PreTrainedModel) -> tuple[str, int]:
    """Name and length of the stack of layers: the list as long as the config says, else the longest; of several the last."""
    lists = {name: len(module) for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList) and len(module)}
    if not lists:
        raise TrainingStopped("method_settings.train_last needs a stack of layers, and this base model has none that can be found. "
                              "Name the layers in train_layers instead.")
    wanted = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    longest = wanted if wanted in lists.values() else max(lists.values())
    return [(name, length) for name, length in lists.items() if length == longest][-1]


# ---- where the other parts of a training ask the model what it is


def parameter_counts(model) -> dict[str, int]:
    if not is_whole(model):
        trainable, total = model.get_nb_trainable_parameters()
    else:  # a weight that stands in two places counts once
        weights = list(model.parameters())
        trainable, total = sum(w.numel() for w in weights if w.requires_grad), sum(w.numel() for w in weights)
    return {"trainable_parameters": trainable, "total_parameters": total}


def load_whole(model: PreTrainedModel, folder: Path) -> None:
    """Put the weights of a saved model of the same kind into this one, which keeps its number formats."""
    try:
        saved, loading = type(model).from_pretrained(folder, config=model.config, dtype=model.dtype, local_files_only=True,
                                                     use_safetensors=True, output_loading_info=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ArtefactCorrupt(f"The model in {folder} cannot be loaded: {error}") from error
    if missing := loading["missing_keys"]:
        raise ArtefactCorrupt(f"The model in {folder} has no weights for {sorted(missing)[0]}. Choose another one, or start "
                              "afresh.")
    model.load_state_dict(saved.state_dict())


def freeze_in_bits(base: PreTrainedModel, checkpointing: bool) -> None:
    """Make a base model that is held in few bits ready for an adapter.

    It is frozen and works in fp32 between its layers, as with PEFT's way, and norms and biases are made fp32. Tables of embeddings
    and the linear layers that are not in few bits, such as the output layer, may take more than all the rest: they stay as they
    are held. What goes in or out is brought to the other's format, which changes no number: mixed precision rounds there anyway.
    """
    base.requires_grad_(False)
    kept = set()
    for module in base.modules():
        if type(module) is torch.nn.Embedding and module.weight.dtype in HALF:
            module.register_forward_hook(out_in_fp32)
            kept.add(id(module.weight))
        elif type(module) is torch.nn.Linear and module.weight.dtype in HALF:
            module.register_forward_pre_hook(as_the_weight)
            kept |= {id(weight) for weight in module.parameters()}
    for weight in base.parameters():
        if weight.dtype in HALF and id(weight) not in kept and type(weight).__name__ != "Params4bit":
            weight.data = weight.data.float()
    if checkpointing:
        base.enable_input_require_grads()  # frozen embeddings would otherwise cut the gradient off


def out_in_fp32(table, inputs, output):
    return output.float()


def as_the_weight(layer, inputs):
    return inputs[0].to(layer.weight.dtype), *inputs[1:]


def train_in_fp32(model) -> None:
    """Give what learns beside a base model in few bits the numbers for small steps; autocast brings both together."""
    for weight in model.parameters():
        if weight.requires_grad and weight.dtype in HALF:
            weight.data = weight.data.float()


@contextlib.contextmanager
def numbers_kept(model):
    """TRL's trainers round what learns beside a base model in few bits to bf16, in which small steps are lost: here it stays."""
    kept = [(weight, weight.data) for weight in model.parameters() if weight.requires_grad]
    yield
    for weight, numbers in kept:
        if weight.dtype != numbers.dtype:
            weight.data = numbers.to(weight.device)
