"""Methods that train chosen parts of the model as they are: token vectors, normalisation layers, directions of its weights."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from jobs.methods.base import MethodSettings
from jobs.methods.special.base import TURNED_OVER, Special
from jobs.models.families import ENCODERS
from jobs.models.inspect import BaseModelFacts
from jobs.recipe import Recipe

TRACES, FAR = "directions.json", 0.05  # of a layer's directions, and how far apart those of one layer may lie
MOST_TOKENS = 10_000
LOOKED_AT = 2000  # rows, in which special tokens are looked for


class TrainableTokens(Special):
    plain_forward = True  # a token's vector counts on both sides where the model uses it on both
    settings: dict[str, tuple[Any, Any]] = {
        "token_indices": (list[Annotated[int, Field(ge=0)] | str], Field(
            [], max_length=MOST_TOKENS, title="Tokens", json_schema_extra={"shown": True}, description=(
                "Words or pieces of text, of which every token is trained, or numbers of tokens. Empty: the special tokens in the "
                "training rows, such as the marks of a chat.")))}

    def refuse(self, settings: MethodSettings, recipe: Recipe, facts: BaseModelFacts) -> list[str]:
        reasons = super().refuse(settings, recipe, facts)
        numbers = [token for token in settings.token_indices if isinstance(token, int)]
        if facts.vocab_size and numbers and max(numbers) >= facts.vocab_size:
            reasons.append(f"method_settings.token_indices names the token {max(numbers)}, and the base model has "
                           f"{facts.vocab_size:,} (0 to {facts.vocab_size - 1:,}). Take it away.")
        return reasons

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        found = tokens_named(settings.token_indices, context.tokenizer) or special_tokens(context.rows, context.tokenizer)
        if not found:
            raise ValueError("token_indices is empty, and the training rows have no special token. Name the tokens to train")
        names = [repr(context.tokenizer.decode([token])) for token in found[:20]]
        context.report.say(f"{len(found)} tokens are trained: {', '.join(names)}{' …' if len(found) > 20 else ''}.")
        return {**values, "token_indices": found}


def tokens_named(wanted: list[int | str], tokenizer) -> list[int]:
    """The numbers of tokens that are named by number or as text, each once, in order."""
    found: list[int] = []
    for token in wanted:
        if isinstance(token, int):
            found.append(token)
            continue
        number = tokenizer.convert_tokens_to_ids(token) if token in tokenizer.get_vocab() else None
        found += [number] if number is not None else tokenizer(token, add_special_tokens=False)["input_ids"]
    return list(dict.fromkeys(found))


def special_tokens(rows, tokenizer) -> list[int]:
    """The special tokens that occur in the first training rows."""
    special = set(tokenizer.all_special_ids) | {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    columns = [name for name in rows.column_names if name.endswith("_ids") or name in ("anchor", "positive", "negative")]
    first = rows.select(range(min(len(rows), LOOKED_AT)))
    return sorted({token for row in first for name in columns for token in row[name]} & special)


class NormTuning(Special):
    """Copies of normalisation layers, which learn in 32 bits: what they give goes on in the model's own format."""

    def opened(self, model) -> None:
        from peft.tuners.ln_tuning.layer import LNTuningLayer

        def as_it_came(layer, inputs, output):
            return output.to(inputs[0].dtype)

        for layer in model.modules():
            if isinstance(layer, LNTuningLayer):
                layer.register_forward_hook(as_it_came)


class OrthogonalSubspace(Special):
    not_in_bits = "It takes the weights themselves apart, and cannot where they are packed in few bits."

    def opened(self, model) -> None:
        """Keep steps out of the strongest directions: where PEFT made its weights 32 bits wide, the new ones lack its hooks."""
        from peft.tuners.osf.layer import OSFLayer

        layers = [module for module in model.modules() if isinstance(module, OSFLayer)]
        if not layers:  # PEFT passes over what it cannot take without a word
            raise ValueError("none of the chosen layers is one that it can take apart")
        for layer in layers:
            layer._detach_hooks()
            if any(weight.requires_grad for weight in layer.osf_svd_params["default"].parameters()):
                layer._attach_hooks("default")


class ButterflyRotation(Special):
    def prepare(self) -> None:
        """Keep PEFT from compiling code for a GPU for every layer, which fails nearly everywhere, each time after seconds."""
        from peft.tuners.boft import layer

        layer._FBD_CUDA = False


class GatedPrompts(Special):
    """LLaMA-Adapter."""

    only_on = ("llama", "mistral", "gpt2")

    def refuse(self, settings: MethodSettings, recipe: Recipe, facts: BaseModelFacts) -> list[str]:
        reasons = super().refuse(settings, recipe, facts)
        if facts.layers and settings.adapter_layers > facts.layers:
            reasons.append(f"method_settings.adapter_layers is {settings.adapter_layers}, and the base model has {facts.layers}. "
                           "Set it to 0 for all.")
        return reasons

    def opened(self, model) -> None:
        # PEFT holds on to the forward that the model has now, and trainers give it another
        tuner = model.base_model
        tuner.forward = lambda *inputs, **options: tuner.model(*inputs, **options)


class RotatedDirections(Special):
    """PSOFT. An adapter holds rotations of directions that PEFT finds in the base model anew whenever it opens one."""

    def opened(self, model) -> None:
        save = model.save_pretrained

        def save_with_traces(folder, **options) -> None:
            save(folder, **options)
            (Path(folder) / TRACES).write_text(json.dumps(traces(model)), "utf-8")

        model.save_pretrained = save_with_traces

    def misfit(self, model, folder: Path) -> str:
        """Whether the directions came out otherwise here, as they may on another processor or with other libraries."""
        import torch

        if not (folder / TRACES).is_file():
            return ""
        for name, expected in json.loads((folder / TRACES).read_text("utf-8")).items():
            found, there = torch.tensor(traces(model).get(name, [])), torch.tensor(expected)
            if found.shape != there.shape or (found - there).norm() > FAR * there.norm():
                return (f"the directions that it rotates come out otherwise on this machine than where it was trained ({name}), "
                        "and it would answer wrongly")
        return ""


def traces(model) -> dict[str, list[float]]:
    """A few numbers for each layer's directions, which change with their order and their signs."""
    import torch
    from peft.tuners.psoft.layer import PsoftLayer

    found = {}
    for name, layer in model.named_modules():
        if isinstance(layer, PsoftLayer):
            numbers = layer._psoft_A_cache["default"].float().cpu() @ torch.linspace(-1, 1, layer.in_features)
            found[name] = [float(f"{number:.4g}") for number in numbers.tolist()]
    return found


class ShadowNetwork(Special):
    plain_forward = True  # the small network's own loss comes with the model's
    mean_loss = True
    not_on = dict.fromkeys(ENCODERS, "This method follows the blocks of models that write text. Choose one, or another method.")

    def opened(self, model) -> None:
        """Leave the small network's own loss out of evaluations, which measure the whole."""
        tuner = model.base_model
        learning = tuner.forward
        tuner.forward = lambda *inputs, **options: (learning if model.training else tuner.model)(*inputs, **options)


TRAINABLE_TOKENS, LN_TUNING = TrainableTokens(), NormTuning()
OSF, BOFT = OrthogonalSubspace(not_on=TURNED_OVER), ButterflyRotation(not_on=TURNED_OVER)
ADAPTION_PROMPT, PSOFT, SHADOW = GatedPrompts(), RotatedDirections(not_on=TURNED_OVER), ShadowNetwork()
