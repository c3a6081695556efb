"""Methods that learn what stands before a row: vectors among the embeddings, or keys and values that the attention reads."""

from typing import Any, Literal

from pydantic import Field

from jobs.methods.base import MethodSettings
from jobs.methods.special.base import Special, put_back, trained_state

TEXTS = ("input_ids", "anchor", "chosen_ids", "completion_ids")  # columns of tokens, of which rows have one
DROPPED = "Its learning network is not kept in the adapter, so nothing can be learned on."
CACHE_LOST = "What it learns comes as past keys and values, which checkpointed layers leave out."
NO_CACHE = ("This family takes no past keys and values, as this method needs them. Choose prompt tuning, or a base model of "
            "another family.")
# encoders of the studio's tasks whose forward has no past_key_values
WITHOUT_CACHE = ("albert", "canine", "convbert", "deberta", "deberta-v2", "distilbert", "esm", "eurobert", "flaubert",
                 "fnet", "funnel", "ibert", "longformer", "luke", "mobilebert", "modernbert", "mpnet", "mra", "nystromformer",
                 "squeezebert", "xlm", "yoso")


class VectorPrompt(Special):
    """Vectors that stand before the embeddings of a row."""

    def taken(self, settings: MethodSettings) -> int:
        return settings.num_virtual_tokens

    def opened(self, model) -> None:
        read_last_token(model)


class StartText(Special):
    """A prompt that may start from a text."""

    def check(self, settings: MethodSettings) -> list[str]:
        if settings.prompt_tuning_init == "TEXT" and not (settings.prompt_tuning_init_text or "").strip():
            return ["method_settings.prompt_tuning_init is TEXT, and prompt_tuning_init_text is empty. Write a text to start from."]
        return super().check(settings)

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        values = super().values(settings, values, context)
        if settings.prompt_tuning_init == "TEXT":
            return {**values, "tokenizer_name_or_path": str(context.base_path)}
        return {name: value for name, value in values.items() if name != "prompt_tuning_init_text"}


class PromptTuning(StartText, VectorPrompt):
    """Prompt tuning."""


class PTuning(VectorPrompt):
    """P-tuning: the adapter has only what its network made, so checkpoints keep the network itself."""

    def refuse_start(self, config: dict) -> str:
        return DROPPED

    def opened(self, model) -> None:
        super().opened(model)
        embedding = model.get_prompt_embedding_to_save

        def saved(adapter_name: str):
            """Without dropout, which would draw the vectors anew."""
            network = model.prompt_encoder[adapter_name]
            was_training = network.training
            network.eval()
            try:
                return embedding(adapter_name)
            finally:
                network.train(was_training)

        model.get_prompt_embedding_to_save = saved

    def state(self, model) -> dict[str, Any]:
        return trained_state(model)

    def restore(self, model, state: dict[str, Any]) -> None:
        put_back(model, state)


class CachePrompt(Special):
    """Keys and values that stand before a row. They start best as those of a text, which a model knows how to read."""

    not_checkpointed = CACHE_LOST
    not_on = dict.fromkeys(WITHOUT_CACHE, NO_CACHE)
    settings: dict[str, tuple[Any, Any]] = {
        "start_text": (str, Field("", max_length=1_000_000, title="Start text", description=(
            "Learning starts from what the model makes of this text, cut to fit, or repeated. Empty: the first training rows.")))}

    def taken(self, settings: MethodSettings) -> int:
        return settings.num_virtual_tokens

    def after(self, model, settings: MethodSettings, context, rows) -> None:
        start_from_text(model, settings.start_text, context, rows)


class PrefixTuning(CachePrompt):
    settings: dict[str, tuple[Any, Any]] = {
        "start": (Literal["text", "zero", "random"], Field(
            "text", title="Start from", json_schema_extra={"shown": True},
            description="A text learns best by far, zero leaves the base model nearly as it is, random disturbs it.")),
        "start_text": (str, Field(
            "", max_length=1_000_000, title="Start text", json_schema_extra={"only_with": ["start", ["text"]]},
            description="What the model makes of this text, cut to fit, or repeated. Empty: the first training rows."))}

    def check(self, settings: MethodSettings) -> list[str]:
        if settings.prefix_projection and settings.start == "text":
            return ["method_settings.prefix_projection is on, and a projected prefix cannot start from a text. Set start to zero."]
        return []

    def refuse_start(self, config: dict) -> str:
        return DROPPED if config.get("prefix_projection") else ""

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        return {**values, "init_weights": None if settings.start == "random" else "zero"}

    def after(self, model, settings: MethodSettings, context, rows) -> None:
        if settings.start == "text":
            start_from_text(model, settings.start_text, context, rows)

    def state(self, model) -> dict[str, Any] | None:
        return trained_state(model) if model.active_peft_config.prefix_projection else None

    def restore(self, model, state: dict[str, Any]) -> None:
        put_back(model, state)


def start_from_text(model, text: str, context, rows) -> None:
    """Give the prefix the keys and values that the base model makes of a text's first tokens, or of the training rows'."""
    import torch
    from peft.tuners.cartridge.utils import initialize_kv_prefix_from_past_key_values
    from transformers import DynamicCache

    wanted, base, made = model.active_peft_config.num_virtual_tokens, model.get_base_model(), DynamicCache()
    tokens = torch.tensor([first_tokens(text, context.tokenizer, rows, wanted)], device=model.device)
    was_training = base.training
    base.eval()
    with torch.no_grad():  # encoders, too, write what they make into a cache that they are given
        base.base_model(input_ids=tokens, attention_mask=torch.ones_like(tokens), past_key_values=made, use_cache=True)
    base.train(was_training)
    initialize_kv_prefix_from_past_key_values(model, past_key_values=made)


def first_tokens(text: str, tokenizer, rows, wanted: int) -> list[int]:
    """So many tokens: of the text, repeated where it is too short, or of one training row after the other."""
    if text.strip():
        found = list(tokenizer(text)["input_ids"])
    else:
        column = next(name for name in TEXTS if name in rows.column_names)
        found = [token for number in range(min(len(rows), wanted)) for token in rows[number][column]]
    if not found:
        raise ValueError("the tokenizer makes no token of start_text")
    return (found * -(-wanted // len(found)))[:wanted]


def read_last_token(model) -> None:
    """Let a decoder's head for labels read the last token of each text, where the text comes as embeddings.

    It finds that token by the padding's number, which embeddings do not have, and would read the padding behind a shorter text.
    """
    import torch

    base = model.get_base_model()
    if str(model.active_peft_config.task_type).rpartition(".")[2] != "SEQ_CLS" or not hasattr(base, "score"):
        return
    masks: dict[str, Any] = {}

    def note_mask(module, inputs, options) -> None:
        masks["now"] = options.get("attention_mask") if options.get("inputs_embeds") is not None else None

    def move_last(module, inputs, logits):
        mask = masks.pop("now", None)
        if mask is None or logits.dim() != 3:
            return logits
        places = torch.arange(mask.shape[1], device=logits.device)
        last = (places * mask.to(logits.device).bool()).argmax(dim=-1)
        chosen = logits[torch.arange(len(logits), device=logits.device), last]
        return torch.cat([logits[:, :-1], chosen[:, None]], dim=1)

    base.register_forward_pre_hook(note_mask, with_kwargs=True)
    base.score.register_forward_hook(move_last)


PROMPT_TUNING, P_TUNING, PREFIX_TUNING, CARTRIDGE = PromptTuning(), PTuning(), PrefixTuning(), CachePrompt()
