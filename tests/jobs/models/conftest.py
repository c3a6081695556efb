"""A tiny Llama with a tokenizer and a chat template, made once and copied for each test that changes it."""

import shutil
from pathlib import Path

import pytest

from tests.hub_server import HubServer

TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
README = "---\nlanguage: en\nlicense: apache-2.0\ntags:\n- tiny\n---\n# Tiny\n"


@pytest.fixture(scope="session")
def llama_once(tmp_path_factory) -> Path:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    config = LlamaConfig(
        vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"[UNK]": 0, "hello": 1}, unk_token="[UNK]")), unk_token="[UNK]"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(README)
    return folder


@pytest.fixture
def llama(llama_once, tmp_path) -> Path:
    """A copy that the test may spoil."""
    return Path(shutil.copytree(llama_once, tmp_path / "tiny-llama"))


@pytest.fixture
def sharded(llama_once, llama) -> Path:
    """The same model in several weight files."""
    from transformers import LlamaForCausalLM

    (llama / "model.safetensors").unlink()
    LlamaForCausalLM.from_pretrained(llama_once).save_pretrained(llama, max_shard_size="200kB")
    assert (llama / "model.safetensors.index.json").is_file()
    return llama


@pytest.fixture
def hub(llama, monkeypatch):
    """A Hub with one model, which huggingface_hub and the studio are pointed to."""
    from huggingface_hub import constants

    with HubServer({"tiny/llama": llama}) as server:
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # for what tests call themselves
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server
