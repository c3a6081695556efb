"""Text generation: chats, instructions, prompts with completions, and plain text. The loss is on the answers only."""

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from jobs.training.base import PLAIN_CHAT_TEMPLATE, load_base_model
from jobs.training.context import TrainingContext
from jobs.training.watch import Watched

PEFT_TASK = "CAUSAL_LM"
IGNORED = -100  # a label that the loss leaves out
SAMPLE_TOKENS = 80


class WatchedSFTTrainer(Watched, SFTTrainer):
    """TRL's trainer, watched."""


def load_model(context: TrainingContext):
    if context.tokenizer.chat_template is None:
        context.tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
        context.report.say("The base model has no chat template. A plain one is used and travels with the adapter.")
    return load_base_model(context, AutoModelForCausalLM)


def encode(examples: list[dict], context: TrainingContext) -> Dataset:
    """`input_ids` and `labels` for each example, cut at max_length; rows that keep no answer after the cut are left out."""
    rows, cut, lost = [], 0, 0
    limit = context.recipe.training.max_length
    for example in examples:
        row = encode_text(example["text"], context.tokenizer) if "text" in example else \
            encode_chat(example["messages"], context.tokenizer)
        cut += len(row["input_ids"]) > limit
        row = {name: values[:limit] for name, values in row.items()}
        if any(label != IGNORED for label in row["labels"][1:]):  # the first token is never predicted
            rows.append(row)
        else:
            lost += 1
    if cut:
        context.report.say(f"{cut} of {len(examples)} rows are longer than {limit} tokens and were cut"
                           + (f"; {lost} of them kept nothing of their answer and are left out." if lost else "."), "warning")
    return Dataset.from_list(rows) if rows else Dataset.from_dict({"input_ids": [], "labels": []})


def encode_text(text: str, tokenizer) -> dict[str, list[int]]:
    """Plain text: every token is learned, and where the text ends."""
    ids = tokenizer(text)["input_ids"]
    if tokenizer.eos_token_id is not None and ids[-1:] != [tokenizer.eos_token_id]:
        ids = ids + [tokenizer.eos_token_id]
    return {"input_ids": ids, "labels": list(ids)}


def encode_chat(messages: list[dict], tokenizer) -> dict[str, list[int]]:
    """A chat through the model's template: the tokens of the assistant's turns are learned, all others are context."""
    text = render(messages, tokenizer)
    answers = []
    for turn, message in enumerate(messages):
        if message["role"] == "assistant":
            start, end = len(render(messages[:turn], tokenizer, answer_next=True)), len(render(messages[:turn + 1], tokenizer))
            answers.append((start, end))
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    labels = [token if any(start <= first and last <= end and last > first for start, end in answers) else IGNORED
              for token, (first, last) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)]
    return {"input_ids": encoded["input_ids"], "labels": labels}


def render(messages: list[dict], tokenizer, answer_next: bool = False) -> str:
    """The text that the model sees."""
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer_next) if messages else ""


def build_trainer(model, train: Dataset, validation: Dataset | None, context: TrainingContext, arguments: dict):
    recipe = context.recipe
    config = SFTConfig(
        **arguments, max_length=recipe.training.max_length, packing=recipe.training.packing, eval_packing=False,
        # rows are cut and labelled already; only packing still needs TRL's preparation
        dataset_kwargs=None if recipe.training.packing else {"skip_prepare_dataset": True})
    return WatchedSFTTrainer(
        model=model, args=config, train_dataset=train, eval_dataset=validation, processing_class=context.tokenizer,
        data_collator=None if recipe.training.packing else
        DataCollatorForLanguageModeling(pad_token_id=context.tokenizer.pad_token_id))


def sample(model, examples: list[dict], context: TrainingContext) -> list[dict]:
    """Greedy answers to some examples: prompt, expected and answer."""
    samples = []
    for example in examples:
        if "text" in example:
            words = example["text"].split()
            shown, expected = " ".join(words[:len(words) // 2][:40]), " ".join(words[len(words) // 2:][:60])
            prompt, special = shown, True
        else:
            asked, expected = example["messages"][:-1], example["messages"][-1]["content"]
            shown = asked[-1]["content"] if asked else ""
            prompt, special = render(asked, context.tokenizer, answer_next=True), False
        samples.append({"prompt": shown, "expected": expected, "answer": generate(model, prompt, special, context)})
    return samples


@torch.inference_mode()
def generate(model, prompt: str, special_tokens: bool, context: TrainingContext) -> str:
    limit = max(1, context.recipe.training.max_length - 1)
    inputs = context.tokenizer(prompt, return_tensors="pt", add_special_tokens=special_tokens, truncation=True,
                               max_length=limit).to(model.device)
    inputs.pop("token_type_ids", None)
    was_training = model.training
    model.eval()
    output = model.generate(**inputs, max_new_tokens=SAMPLE_TOKENS, do_sample=False, use_cache=True,
                            pad_token_id=context.tokenizer.pad_token_id)
    model.train(was_training)
    return context.tokenizer.decode(output[0][inputs["input_ids"].shape[1]:], skip_special_tokens=True).strip()
