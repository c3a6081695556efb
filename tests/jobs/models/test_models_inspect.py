import json
import struct
from pathlib import Path

import pytest

from jobs.models.families import DECODERS, ENCODERS, WITHOUT_TAGS, tasks_of
from jobs.models.inspect import inspect_base_model
from jobs.models.problems import (
    ChatTemplateTooLarge,
    CodeOfItsOwn,
    ConfigMissing,
    FileBroken,
    FolderMissing,
    PickleWeights,
    TokenizerMissing,
    WeightsDamaged,
    WeightsMissing,
)

READS = ("text-classification", "token-classification", "sentence-similarity")  # what a model need not write for


def change_json(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def write_safetensors(path: Path, header: dict, data: bytes = b"") -> None:
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


def float32(*shape: int, begin: int, end: int) -> dict:
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


def test_facts_of_a_llama_are_those_of_the_model_itself(llama):
    from transformers import AutoModelForCausalLM

    facts = inspect_base_model(llama)
    assert facts.parameters == AutoModelForCausalLM.from_pretrained(llama).num_parameters()
    assert (facts.architecture, facts.model_type, facts.dtype) == ("LlamaForCausalLM", "llama", "float32")
    assert (facts.layers, facts.hidden_size, facts.context_length, facts.vocab_size) == (3, 64, 256, 512)
    assert facts.bytes_on_disk == sum(path.stat().st_size for path in llama.iterdir())
    assert facts.licence == "apache-2.0"
    assert facts.has_chat_template
    assert facts.tasks == ("text-generation", *READS)


def test_facts_do_not_depend_on_how_the_weights_are_sharded(llama_once, sharded):
    assert inspect_base_model(sharded).parameters == inspect_base_model(llama_once).parameters


def test_a_sentence_encoder_serves_classification_and_its_buffers_are_no_parameters(tmp_path):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    model = BertModel(config)
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("[UNK]\n")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")  # harmless beside safetensors: it is never opened
    facts = inspect_base_model(tmp_path)
    assert facts.parameters == model.num_parameters()
    assert (facts.architecture, facts.layers, facts.context_length) == ("BertModel", 2, 512)
    assert facts.tasks == READS
    assert facts.licence is None
    assert not facts.has_chat_template


@pytest.mark.parametrize(
    "config, facts",
    [
        ({"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_positions": 1024}, (12, 768, 1024)),
        ({"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_ctx": 512}, (12, 768, 512)),
        ({"model_type": "distilbert", "n_layers": 6, "dim": 768, "max_position_embeddings": 512}, (6, 768, 512)),
        ({"model_type": "mpt", "n_layers": 24, "d_model": 2048, "max_seq_len": 2048}, (24, 2048, 2048)),
        ({"model_type": "roberta", "num_hidden_layers": 12, "hidden_size": 768, "max_position_embeddings": 514,
          "pad_token_id": 1}, (12, 768, 512)),
        ({"model_type": "gemma3", "text_config": {"num_hidden_layers": 34, "hidden_size": 2560,
          "max_position_embeddings": 131072}}, (34, 2560, 131072)),
        ({"model_type": "bloom", "n_layer": 24, "hidden_size": 1024}, (24, 1024, None)),
    ],
)  # fmt: skip
def test_each_family_names_its_sizes_in_its_own_way(llama, config, facts):
    (llama / "config.json").write_text(json.dumps(config))
    found = inspect_base_model(llama)
    assert (found.layers, found.hidden_size, found.context_length) == facts


@pytest.mark.parametrize(
    "model_type, architecture, tasks",
    [
        ("llama", "LlamaForCausalLM", ("text-generation", *READS)),
        ("gpt2", "GPT2LMHeadModel", ("text-generation", *READS)),
        ("granite", "GraniteForCausalLM", ("text-generation",)),
        ("gemma3", "Gemma3ForConditionalGeneration", ("text-generation", "text-classification", "sentence-similarity")),
        ("llama", "", ("text-generation", *READS)),
        ("mistral", "MistralModel", READS),
        ("bert", "BertForMaskedLM", READS),
        ("vit", "ViTForImageClassification", ()),
    ],
)
def test_tasks_follow_from_the_architecture(model_type, architecture, tasks):
    assert tasks_of(model_type, architecture, encoder_decoder=False) == tasks


def test_an_encoder_decoder_serves_none_of_the_tasks_yet():
    assert tasks_of("t5", "T5ForConditionalGeneration", encoder_decoder=True) == ()


def test_every_listed_family_has_the_heads_in_transformers():
    from transformers.models.auto import modeling_auto

    classifies = set(modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
    writes = set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    tags = set(modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES)
    assert ENCODERS <= classifies & tags & set(modeling_auto.MODEL_MAPPING_NAMES)
    assert DECODERS <= classifies & writes & set(modeling_auto.MODEL_MAPPING_NAMES)
    assert DECODERS - tags == WITHOUT_TAGS


@pytest.mark.parametrize(
    "readme, licence",
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ('---\r\nlicense: "llama3.2"\r\n---\r\n', "llama3.2"),
        ("---\nlicense:\n- cc-by-4.0\n- mit\n---\n", "cc-by-4.0"),
        ("---\nlicense: other\nlicense_name: house-licence\n---\n", "house-licence"),
        ("---\ntags:\n- x\n---\nlicense: not here\n", None),
        ("no front matter", None),
    ],
)
def test_the_readme_states_the_licence(llama, readme, licence):
    (llama / "README.md").write_bytes(readme.encode())
    assert inspect_base_model(llama).licence == licence


@pytest.mark.parametrize(
    "text, licence",
    [
        ("\n      Apache License\n   Version 2.0", "apache-2.0"),
        ("MIT License\n\nCopyright", "mit"),
        ("# House licence\nDo good.", "House licence"),
    ],
)
def test_without_a_readme_the_licence_file_states_it(llama, text, licence):
    (llama / "README.md").unlink()
    (llama / "LICENSE").write_text(text)
    assert inspect_base_model(llama).licence == licence


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(FolderMissing, match="nowhere' does not exist"):
        inspect_base_model(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(FolderMissing, match="is a file"):
        inspect_base_model(tmp_path / "file")


def test_a_folder_without_a_config_is_refused(tmp_path):
    with pytest.raises(ConfigMissing, match=r"no config\.json"):
        inspect_base_model(tmp_path)


@pytest.mark.parametrize("content", [b"{oh", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_broken_config_is_refused(llama, content):
    (llama / "config.json").write_bytes(content)
    with pytest.raises(FileBroken, match=r"config\.json' cannot be used"):
        inspect_base_model(llama)


def test_a_model_without_weights_is_refused(llama):
    (llama / "model.safetensors").unlink()
    with pytest.raises(WeightsMissing, match="no weights"):
        inspect_base_model(llama)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_pickle_weights_are_refused_with_the_way_out(llama, name):
    (llama / "model.safetensors").rename(llama / name)
    with pytest.raises(PickleWeights, match=f"only as {name}.*Convert the weights to safetensors"):
        inspect_base_model(llama)


def test_an_adapter_is_not_taken_for_a_base_model(llama):
    (llama / "model.safetensors").rename(llama / "adapter_model.safetensors")
    (llama / "adapter_config.json").write_text("{}")
    with pytest.raises(WeightsMissing, match="only an adapter"):
        inspect_base_model(llama)


def test_a_missing_shard_is_named(sharded):
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(WeightsMissing, match=shard.name):
        inspect_base_model(sharded)


def test_a_shard_that_lacks_a_tensor_is_refused(sharded):
    shard = sorted(sharded.glob("model-*.safetensors"))[0]
    write_safetensors(shard, {"other": float32(1, begin=0, end=4)}, bytes(4))
    with pytest.raises(WeightsDamaged, match="lacks"):
        inspect_base_model(sharded)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "model.bin", 7])
def test_an_index_that_points_elsewhere_is_refused(sharded, name):
    change_json(sharded / "model.safetensors.index.json", weight_map={"a": name})
    with pytest.raises(FileBroken, match="names the weights file"):
        inspect_base_model(sharded)


def test_truncated_weights_are_refused(llama):
    weights = llama / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(WeightsDamaged, match="damaged or incomplete"):
        inspect_base_model(llama)


@pytest.mark.parametrize(
    "header, data",
    [
        ({"a": float32(2, begin=0, end=8)}, bytes(9)),
        ({"a": float32(2, begin=0, end=8), "b": float32(2, begin=4, end=12)}, bytes(12)),
        ({"a": float32(2, begin=0, end=8), "b": float32(1, begin=12, end=16)}, bytes(16)),
        ({"a": float32(3, begin=0, end=8)}, bytes(8)),
        ({"a": float32(2**62, 4, begin=0, end=0)}, b""),
        ({"a": float32(-1, begin=0, end=4)}, bytes(4)),
        ({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": "tensor"}, b""),
        ([], b""),
    ],
    ids=[
        "left-over",
        "overlap",
        "gap",
        "shape",
        "overflow",
        "negative",
        "dtype",
        "no-shape",
        "list",
        "text",
        "not-a-dict",
    ],
)
def test_weights_whose_header_does_not_add_up_are_refused(llama, header, data):
    write_safetensors(llama / "model.safetensors", header, data)
    with pytest.raises(WeightsDamaged):
        inspect_base_model(llama)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "only 0 bytes"),
        (struct.pack("<Q", 2**60), "at most 16,777,216"),
        (struct.pack("<Q", 1000) + b"{}", "ends after 2"),
        (struct.pack("<Q", 4) + b"oh n", "not JSON"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(llama, content, reason):
    (llama / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsDamaged, match=reason):
        inspect_base_model(llama)


def test_a_header_with_too_many_tensors_is_refused(llama):
    empty = float32(0, begin=0, end=0)
    write_safetensors(llama / "model.safetensors", {str(number): empty for number in range(50_001)})
    with pytest.raises(WeightsDamaged, match="50,001 tensors"):
        inspect_base_model(llama)


@pytest.mark.parametrize(
    "name, changes",
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling.Evil"}}),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "modeling.Evil"}}}),
        ("config.json", {"_attn_implementation": "evil/kernel"}),
        ("config.json", {"attn_implementation": {"text_config": "evil/kernel"}}),
        ("config.json", {"experts_implementation": "evil/kernel"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tokenization.Evil", None]}}),
    ],
)
def test_a_config_that_asks_for_code_is_refused(llama, name, changes):
    change_json(llama / name, **changes)
    with pytest.raises(CodeOfItsOwn, match=f"in {name}.*never runs code"):
        inspect_base_model(llama)


def test_a_built_in_attention_is_no_code(llama):
    change_json(llama / "config.json", _attn_implementation="sdpa", auto_map={})
    inspect_base_model(llama)


def test_python_files_are_refused(llama):
    (llama / "modeling_evil.py").touch()
    with pytest.raises(CodeOfItsOwn, match=r"modeling_evil\.py"):
        inspect_base_model(llama)


def test_a_model_without_a_tokenizer_is_refused(llama):
    (llama / "tokenizer.json").unlink()
    with pytest.raises(TokenizerMissing):
        inspect_base_model(llama)


def test_a_chat_template_of_more_than_64_kib_is_refused(llama):
    template = llama / "chat_template.jinja"
    template.write_text("x" * 65536)
    inspect_base_model(llama)
    template.write_text("x" * 65537)
    with pytest.raises(ChatTemplateTooLarge, match="65,537 bytes"):
        inspect_base_model(llama)
    template.unlink()
    assert not inspect_base_model(llama).has_chat_template
    change_json(llama / "tokenizer_config.json", chat_template=[{"name": "default", "template": "x" * 70000}])
    with pytest.raises(ChatTemplateTooLarge):
        inspect_base_model(llama)
