"""Text generation: chats, instructions, prompts with completions, and plain text. The loss is on the answers only."""

import torch
from datasets import Dataset
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import TrainableTokensWrapper
from transformers import AutoModelForCausalLM, StoppingCriteriaList, Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer

from jobs.methods import find_method
from jobs.preparing.answers import Renderer, TemplateRefuses
from jobs.preparing.collating import TextCollator
from jobs.preparing.prepare import Encoded
from jobs.preparing.texts import encode_texts
from jobs.preparing.widths import step_of
from jobs.training.answer_loss import add_answer_loss
from jobs.training.base import load_base_model
from jobs.training.context import TrainingContext
from jobs.training.watch import Watched
from storage.records import Request

PEFT_TASK = "CAUSAL_LM"


class WatchedSFTTrainer(Watched, SFTTrainer):
    """TRL's trainer, watched. It takes the logarithms of the tokens alone from the model, in less memory than its logits need."""


class WatchedPlainTrainer(Watched, Trainer):
    """The transformers trainer, watched, with the loss that the model tells."""


def load_model(context: TrainingContext):
    return load_base_model(context, AutoModelForCausalLM)


def encode(examples: list[dict], context: TrainingContext) -> Encoded:
    """`input_ids` and `trained`, the tokens of the answers, as encode_texts makes them."""
    return encode_texts(examples, context.tokenizer, context.format, context.recipe.training.max_length)


def render(messages: list[dict], tokenizer, answer_next: bool = False, tools: list[dict] | None = None) -> str:
    """The text that the model sees."""
    return Renderer(tokenizer).render(messages, tools, answer_next) if messages else ""


def collator(context: TrainingContext) -> TextCollator:
    step = step_of(context.device, context.precision)
    return TextCollator(context.tokenizer.pad_token_id, step, context.recipe.training.max_length)


def build_trainer(model, train: Dataset, validation: Dataset | None, context: TrainingContext, arguments: dict):
    rows = {"model": model, "train_dataset": train, "eval_dataset": validation, "processing_class": context.tokenizer,
            "data_collator": collator(context)}
    on_processor, by_itself = context.device == "cpu", needs_logits(model, context)
    if on_processor and not by_itself:
        add_answer_loss(model.get_base_model() if isinstance(model, PeftModel) else model)
    if on_processor or by_itself:
        return WatchedPlainTrainer(args=TrainingArguments(**arguments, remove_unused_columns=False), **rows)
    config = SFTConfig(  # rows are cut, packed and labelled already
        **arguments, max_length=context.recipe.training.max_length, packing=False, remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True})
    return WatchedSFTTrainer(args=config, **rows)


def needs_logits(model, context: TrainingContext) -> bool:
    """Whether a loss from the last layer's output would pass over something: an adapter on the output embeddings, or a loss of the
    method's own."""
    beside_head = isinstance(model, PeftModel) and isinstance(
        model.get_base_model().get_output_embeddings(), (BaseTunerLayer, TrainableTokensWrapper))
    return beside_head or find_method(context.recipe.method).special.plain_forward


def sample(model, examples: list[dict], context: TrainingContext) -> list[dict]:
    """Greedy answers to some examples: prompt, expected and answer. A request cuts them short."""
    samples = []
    for example in examples:
        if "text" in example:
            words = example["text"].split()
            shown, expected = " ".join(words[:len(words) // 2][:40]), " ".join(words[len(words) // 2:][:60])
            prompt, special = shown, True
        else:
            asked, expected = example["messages"][:-1], said(example["messages"][-1])
            shown = said(asked[-1]) if asked else ""
            prompt, special = prompt_of(asked, example, context), False
        samples.append({"prompt": shown, "expected": expected, "answer": generate(model, prompt, special, context)})
    return samples


def said(message: dict) -> str:
    """The content of a message, or the tools that it calls."""
    calls = [call.get("function", call) for call in message.get("tool_calls") or []]
    return message.get("content") or ", ".join(f"{call['name']}({call['arguments']})" for call in calls)


def prompt_of(asked: list[dict], example: dict, context: TrainingContext) -> str:
    """The conversation up to where an answer begins; empty where the chat template refuses it, as the training has done."""
    try:
        return render(asked, context.tokenizer, answer_next=True, tools=example.get("tools"))
    except TemplateRefuses:
        return ""


@torch.inference_mode()
def generate(model, prompt: str, special_tokens: bool, context: TrainingContext) -> str:
    if not prompt:
        return ""
    limit = max(1, context.recipe.training.max_length - 1)
    inputs = context.tokenizer(prompt, return_tensors="pt", add_special_tokens=special_tokens, truncation=True,
                               max_length=limit).to(model.device)
    inputs.pop("token_type_ids", None)

    def asked_to_end(ids, scores, **kwargs):
        return torch.full((len(ids),), context.report.asked != Request.NONE, device=ids.device)

    was_training = model.training
    model.eval()
    stops = Renderer(context.tokenizer).stops(model.generation_config.eos_token_id) if context.tokenizer.chat_template else None
    output = model.generate(**inputs, max_new_tokens=context.sample_tokens, do_sample=False, use_cache=True,
                            eos_token_id=stops or None, pad_token_id=context.tokenizer.pad_token_id,
                            stopping_criteria=StoppingCriteriaList([asked_to_end]))
    model.train(was_training)
    return context.tokenizer.decode(output[0][inputs["input_ids"].shape[1]:], skip_special_tokens=True).strip()
