"""Real models, small enough to build and train in a second, with random weights from a fixed seed: methods are tried on them.

`spread` is how far the first weights lie apart. Transformers' usual 0.02 leaves the layers of so small a model almost without a
say; with 0.1 what a method changes in them shows after a few steps.
"""

from pathlib import Path

CHAT_TEMPLATE = ("{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
                 "{% if add_generation_prompt %}<|assistant|>{% endif %}")
SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
USUAL = 0.02


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


def make_tiny_llama(folder: Path, chat_template: str | None = CHAT_TEMPLATE, positions: int = 256, key_value_heads: int = 2,
                    spread: float = USUAL, dropout: float = 0.1, width: int = 64) -> Path:
    """A Llama of two layers, as a folder that the studio takes as a base model: `width` dimensions, `positions` bytes to read."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(chat_template)
    return _save(folder, tokenizer, LlamaForCausalLM, LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=key_value_heads, max_position_embeddings=positions, tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None, initializer_range=spread,
        classifier_dropout=dropout))


def make_tiny_bert(folder: Path, positions: int = 128, spread: float = USUAL, dropout: float = 0.1) -> Path:
    """A BERT encoder of two layers and 64 dimensions, without a head."""
    from transformers import BertConfig, BertModel

    tokenizer = make_tokenizer(None)
    return _save(folder, tokenizer, BertModel, BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=positions, pad_token_id=tokenizer.pad_token_id, initializer_range=spread,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout))


def make_tiny_gpt2(folder: Path, positions: int = 256, spread: float = USUAL, dropout: float = 0.1) -> Path:
    """A GPT-2 of two layers and 64 dimensions: its layers are Conv1D, which store their weights turned over."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = make_tokenizer()
    return _save(folder, tokenizer, GPT2LMHeadModel, GPT2Config(
        vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=4, n_positions=positions, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None, initializer_range=spread,
        embd_pdrop=dropout, attn_pdrop=dropout, resid_pdrop=dropout))


def _save(folder: Path, tokenizer, model_class, config) -> Path:
    import torch

    torch.manual_seed(0)
    model_class(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
