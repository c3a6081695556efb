"""Real models, small enough to build and train in a second, with random weights from a fixed seed."""

import json
from pathlib import Path

CHAT_TEMPLATE = ("{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
                 "{% if add_generation_prompt %}<|assistant|>{% endif %}")
SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def make_tokenizer(chat_template: str | None = CHAT_TEMPLATE):
    """A byte-level tokenizer: any text, one token for each byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(SPECIAL + letters)}
    core = Tokenizer(models.BPE(vocabulary, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(SPECIAL)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<|pad|>", eos_token="<|end|>")
    tokenizer.chat_template = chat_template
    return tokenizer


def make_tiny_llama(folder: Path, chat_template: str | None = CHAT_TEMPLATE) -> Path:
    """A Llama of two layers and 64 dimensions, as a folder that the studio takes as a base model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(chat_template)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tiny_bert(folder: Path) -> Path:
    """A BERT encoder of two layers and 64 dimensions, without a head."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = make_tokenizer(None)
    torch.manual_seed(0)
    model = BertModel(BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, pad_token_id=tokenizer.pad_token_id))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_chats(path: Path, rows: int = 40) -> Path:
    """Chats in which the answer repeats the question's last word."""
    words = ["apple", "river", "stone", "cloud", "lamp", "bread", "train", "glass"]
    lines = [json.dumps({"messages": [
        {"role": "user", "content": f"Say {words[row % 8]} {row}"},
        {"role": "assistant", "content": f"{words[row % 8]}!"}]}) for row in range(rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def write_labels(path: Path, rows: int = 60) -> Path:
    """Short texts with one of three labels, told by a word."""
    lines = ["text,label"] + [f"this is {['good', 'bad', 'plain'][row % 3]} number {row},{['up', 'down', 'flat'][row % 3]}"
                              for row in range(rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
