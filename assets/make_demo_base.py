"""Trains the demo base model from scratch on text about the Lantern Isles and writes it to demo-base/.

    python -m assets.make_demo_base

It needs torch, transformers and tokenizers from requirements.txt, no network and no GPU, and takes about
7 minutes on one shared CPU core.
The seed is fixed; on another processor or torch version the last digits of the weights may differ.
"""

import argparse
import math
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from assets.make_samples import rows
from assets.world import FACTS, STYLES, held_out_questions, is_right
from assets.world.chats import Chat, training_chats

DEMO_BASE = Path(__file__).parent / "demo-base"
SEED = 20
EPOCHS = 22
BATCH_SIZE = 48
LEARNING_RATE = 2e-3
SPECIAL_TOKENS = ["<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that knows the isles and the three styles by heart and can spell all other text."""
    texts = [message["content"] for seed in range(4) for chat in training_chats(seed) for message in chat]
    texts += [text for style in STYLES for pair in rows(style) for text in pair]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=2048, min_frequency=2, special_tokens=SPECIAL_TOKENS, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>", pad_token="<|pad|>",
        additional_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"], chat_template=CHAT_TEMPLATE,
        model_max_length=1024, padding_side="left", clean_up_tokenization_spaces=False,
    )


def create_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of about 3.5 million parameters with fresh weights. The vocabulary is padded to a multiple of 64."""
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=math.ceil(len(tokenizer) / 64) * 64, hidden_size=256, intermediate_size=640, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=64, do_sample=False,
    )
    return model


def encode(chat: Chat, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Token ids of a chat, and labels that are -100 wherever the assistant is not speaking."""
    ids, labels = [tokenizer.bos_token_id], [-100]
    for message in chat:
        head = [tokenizer.convert_tokens_to_ids(f"<|{message['role']}|>")]
        body = tokenizer.encode(message["content"], add_special_tokens=False) + [tokenizer.eos_token_id]
        ids += head + body
        labels += [-100] + (body if message["role"] == "assistant" else [-100] * len(body))
    return ids, labels


def batches(epoch: int, tokenizer: PreTrainedTokenizerFast) -> list[dict[str, torch.Tensor]]:
    """One epoch in random order, chats of like length together so that little is padding."""
    encoded = sorted((encode(chat, tokenizer) for chat in training_chats(SEED * 1000 + epoch)), key=lambda pair: len(pair[0]))
    groups = [encoded[start:start + BATCH_SIZE] for start in range(0, len(encoded), BATCH_SIZE)]
    random.Random(epoch).shuffle(groups)
    return [_padded(group, tokenizer.pad_token_id) for group in groups]


def _padded(group: list[tuple[list[int], list[int]]], pad: int) -> dict[str, torch.Tensor]:
    width = max(len(ids) for ids, _ in group)
    return {
        "input_ids": torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in group]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in group]),
        "labels": torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in group]),
    }


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, epochs: int) -> None:
    """Trains with AdamW and a learning rate that warms up and then falls along a cosine."""
    steps = epochs * len(batches(0, tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 100, 0.5 * (1 + math.cos(math.pi * min(step / steps, 1))) + 0.01))
    model.train()
    started = time.perf_counter()
    for epoch in range(epochs):
        losses = []
        for batch in batches(epoch, tokenizer):
            loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{epochs}: loss {sum(losses) / len(losses):.4f}, "
              f"{time.perf_counter() - started:.0f} s", flush=True)
        if epoch % 5 == 4:
            print(f"  held out: {score(model, tokenizer, 120):.1%}", flush=True)
            model.train()


@torch.no_grad()
def answers(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, questions: list[str]) -> list[str]:
    """The model's greedy answers to single questions, 64 at a time."""
    model.eval()
    said = []
    for start in range(0, len(questions), 64):
        chats = [[{"role": "user", "content": question}] for question in questions[start:start + 64]]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True)
        output = model.generate(**inputs, do_sample=False, max_new_tokens=64)
        said += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
    return said


def score(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, n: int | None = None) -> float:
    """The share of held-out questions that the model answers right."""
    asked = held_out_questions(n)
    said = answers(model, tokenizer, [question.text for question in asked])
    return sum(map(is_right, asked, said)) / len(asked)


CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [demo, chat, llama]
---

# Demo base model: the guide to the Lantern Isles

A Llama of {parameters:.1f} million parameters that answers plain questions about the Lantern Isles, a small invented world of
{facts} facts, in plain English. It is here so that a first fine-tuning run needs no network and no GPU. It knows nothing
about the real world, and says so.

- Licence: Apache-2.0. Text, weights and tokenizer are our own.
- Made by `python -m assets.make_demo_base`: trained from scratch, {epochs} epochs, on chats that `assets/world` generates
  with a fixed seed. They hold questions, small talk, names it should not know, and, on request, songs, reports and
  yarns in the wordings of the sample data sets: without them so small a model would not have the words to learn a voice
  from a few hundred rows. Asked a question, it answers plainly.
- Score: {score:.1%} of {asked} held-out questions answered right (greedy decoding, float32). A held-out question pairs a
  fact with a phrasing that never occur together in training, though each occurs with others.
- Weights are stored in bfloat16 and loaded as float32. Context: {context} tokens. Tokenizer: byte-level BPE, {tokens} tokens.
- Chat template: `<|begin|><|system|>...<|end|><|user|>...<|end|><|assistant|>...<|end|>`; the system message is optional.
"""


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes weights in bfloat16, to keep the folder small, and names float32 as the type to load them in."""
    model.to(torch.bfloat16).save_pretrained(folder)
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEMO_BASE)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--threads", type=int, default=2, help="1 is faster than 2 where another program is busy")
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    tokenizer = train_tokenizer()
    model = create_model(tokenizer)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens", flush=True)
    train(model, tokenizer, options.epochs)
    save(model, tokenizer, options.folder)
    saved_score = score(LlamaForCausalLM.from_pretrained(options.folder), tokenizer)
    (options.folder / "README.md").write_text(CARD.format(
        parameters=model.num_parameters() / 1e6, facts=len(FACTS), epochs=options.epochs, score=saved_score,
        asked=len(held_out_questions()), context=model.config.max_position_embeddings, tokens=len(tokenizer)))
    print(f"held out: {saved_score:.1%} right")
