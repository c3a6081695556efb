"""One copy of the base model's weights, whatever hangs on it."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from jobs.models.problems import WeightsDamaged
from jobs.playground.bench import Bench
from jobs.playground.models import LoadedBase, memory_of
from jobs.playground.problems import AdapterBroken, AdapterMisfit, BaseUnloadable
from jobs.playground.request import BaseChoice
from jobs.playground.together import each_row_its_own
from storage.problems import BaseModelRefused
from tests.jobs.playground.conftest import LABELS
from tests.tiny_models import make_tokenizer


@pytest.fixture
def loaded(base_folder):
    return LoadedBase(BaseChoice(base_path=base_folder, base_name="tiny"), "cpu")


def pointers(model):
    return {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}


def test_every_adapter_uses_the_very_memory_of_the_base(loaded, adapter_folders):
    base = pointers(loaded.model)
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    models = [loaded.answerer(folder).model for folder in adapter_folders.values()]
    for model in models:
        assert base <= pointers(model)
    everything = memory_of(tensor for model in (loaded.model, *models) for tensor in (*model.parameters(), *model.buffers()))
    assert everything == loaded.bytes + sum(answerer.bytes for answerer in loaded.attached().values())
    assert sum(answerer.bytes for answerer in loaded.attached().values()) < loaded.bytes
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.model.state_dict().items())


@pytest.mark.parametrize("name", ["lora", "ia3", "prompt"])
def test_an_adapter_gives_the_logits_of_a_separate_load(loaded, base_folder, adapter_folders, name):
    for folder in adapter_folders.values():  # all of them at once on the same base
        loaded.answerer(folder)
    alone = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base_folder), adapter_folders[name]).eval()
    tokens = make_tokenizer()("The lighthouse of Port Ellen", return_tensors="pt")["input_ids"]
    shared = loaded.answerer(adapter_folders[name]).model
    with torch.no_grad():
        assert torch.equal(shared(input_ids=tokens).logits, alone(input_ids=tokens).logits)
        assert not torch.equal(loaded.model(input_ids=tokens).logits[:, -1], alone(input_ids=tokens).logits[:, -1])


def test_an_adapter_that_changes_the_base_when_it_starts_gets_weights_of_its_own(loaded, adapter_folders, tmp_path):
    folder = shutil.copytree(adapter_folders["lora"], tmp_path / "pissa")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "init_lora_weights": "pissa"}))
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    answerer = loaded.answerer(folder)
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.model.state_dict().items())
    assert answerer.bytes > loaded.bytes


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.filterwarnings("ignore:MatMul8bitLt")
def test_a_base_in_fewer_bits_is_shared_too(base_folder, adapter_folders, loaded, quantization):
    choice = BaseChoice(base_path=base_folder, base_name="tiny", quantization=quantization)
    quantised, fresh = LoadedBase(choice, "cpu"), LoadedBase(choice, "cpu")
    answerer = quantised.answerer(adapter_folders["lora"])
    tokens = make_tokenizer()("The lighthouse", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        quantised.model(input_ids=tokens)
        assert torch.equal(answerer.model(input_ids=tokens).logits,
                           fresh.answerer(adapter_folders["lora"]).model(input_ids=tokens).logits)
    assert pointers(quantised.model) <= pointers(answerer.model)
    assert quantised.bytes < loaded.bytes
    assert answerer.bytes == loaded.answerer(adapter_folders["lora"]).bytes


def test_the_adapter_unused_for_longest_is_detached(base_folder, adapter_folders):
    loaded = LoadedBase(BaseChoice(base_path=base_folder, base_name="tiny"), "cpu", adapter_limit=2)
    lora, ia3, prompt = adapter_folders.values()
    for folder in (lora, ia3, lora, prompt):
        loaded.answerer(folder)
    loaded.detach_oldest(keep={prompt})
    assert list(loaded.attached()) == [lora, prompt]


def test_an_adapter_whose_files_changed_is_read_again(loaded, adapter_folders, tmp_path):
    folder = shutil.copytree(adapter_folders["lora"], tmp_path / "changing")
    first = loaded.answerer(folder)
    assert loaded.answerer(folder) is first
    shutil.copytree(adapter_folders["ia3"], folder, dirs_exist_ok=True)
    assert loaded.answerer(folder) is not first


def test_another_base_takes_the_place_of_the_first(base_folder, encoder_folder):
    bench = Bench("cpu")
    first = bench.load(BaseChoice(base_path=base_folder, base_name="tiny"))
    assert bench.load(BaseChoice(base_path=base_folder, base_name="the same by another name")) is first
    bench.load(BaseChoice(base_path=encoder_folder, base_name="bert", task="text-classification"))
    assert bench.loaded is not first


def test_a_classifier_gets_a_head_for_its_own_labels(encoder_folder, classifier_folder):
    loaded = LoadedBase(BaseChoice(base_path=encoder_folder, base_name="bert", task="text-classification"), "cpu")
    answerer = loaded.answerer(classifier_folder)
    assert answerer.labels == tuple(LABELS)
    alone = PeftModel.from_pretrained(
        BertForSequenceClassification.from_pretrained(encoder_folder, num_labels=len(LABELS)), classifier_folder).eval()
    tokens = make_tokenizer()("Good morning", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert torch.equal(answerer.model(input_ids=tokens).logits, alone(input_ids=tokens).logits)
    assert pointers(loaded.model.bert) <= pointers(answerer.model)


def test_a_head_that_nobody_trained_is_refused(encoder_folder, classifier_folder, tmp_path):
    folder = shutil.copytree(classifier_folder, tmp_path / "headless")
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({name: weight for name, weight in weights.items() if "classifier" not in name},
              folder / "adapter_model.safetensors")
    loaded = LoadedBase(BaseChoice(base_path=encoder_folder, base_name="bert", task="text-classification"), "cpu")
    with pytest.raises(AdapterBroken, match="lack"):
        loaded.answerer(folder)


def damage(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(("name", "content", "problem", "words"), [
    ("adapter_config.json", None, AdapterBroken, "no adapter_config.json"),
    ("adapter_config.json", b"{", AdapterBroken, "damaged"),
    ("adapter_config.json", b'{"peft_type": "FUTURE"}', AdapterBroken, "newer version"),
    ("adapter_config.json", b'{"peft_type": "LORA", "task_type": "SEQ_CLS"}', AdapterMisfit, "SEQ_CLS"),
    ("tokenizer_config.json", b"{", AdapterBroken, "tokenizer cannot be loaded"),
    ("adapter_model.safetensors", None, AdapterBroken, "no adapter_model.safetensors"),
    ("adapter_model.safetensors", b"torn", WeightsDamaged, "damaged or incomplete"),
])
def test_a_damaged_adapter_is_named_with_what_is_wrong(loaded, adapter_folders, tmp_path, name, content, problem, words):
    folder = shutil.copytree(adapter_folders["lora"], tmp_path / "damaged")
    damage(folder, name, content)
    with pytest.raises(problem, match=words):
        loaded.answerer(folder)


@pytest.mark.parametrize(("changed", "problem", "words"), [
    ({"r": 10**9}, AdapterBroken, "says rank 1,000,000,000"),
    ({"rank_pattern": {"q_proj": 10**8}}, AdapterBroken, "rank 100,000,000"),
    ({"layer_replication": [[0, 2], [0, 2]]}, AdapterMisfit, "repeats layers"),
    ({"megatron_config": {"x": 1}}, AdapterMisfit, "Megatron"),
    ({"modules_to_save": ["layers", "lm_head"]}, AdapterBroken, "replaces .* numbers of the base model"),
    ({"target_modules": "(([a-z_.0-9])+)+!"}, AdapterBroken, r"takes too long to match .* Name the layers"),
    ({"modules_to_save": ["(.*)*x"]}, AdapterBroken, "takes too long"),
    ({"rank_pattern": {"(.+.+)+z": 2}}, AdapterBroken, "takes too long"),
    ({"target_modules": "(q_proj|"}, AdapterBroken, "not a regular expression"),
    ({"target_modules": [f"layer{number}" for number in range(5000)]}, AdapterBroken, "5,000 entries"),
])
def test_a_config_that_asks_for_more_than_its_weights_hold_or_never_ends_is_refused_before_anything_is_made(
        loaded, adapter_folders, tmp_path, changed, problem, words):
    folder = shutil.copytree(adapter_folders["lora"], tmp_path / "hostile")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(problem, match=words):
        loaded.answerer(folder)


def test_vectors_that_no_weights_are_there_for_are_not_made(loaded, adapter_folders, tmp_path):
    folder = shutil.copytree(adapter_folders["prompt"], tmp_path / "hostile")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "num_virtual_tokens": 10**9}))
    with pytest.raises(AdapterBroken, match="says 1,000,000,000 for num_virtual_tokens"):
        loaded.answerer(folder)


def test_an_adapter_with_a_pattern_of_its_own_is_used(loaded, adapter_folders, tmp_path):
    folder = shutil.copytree(adapter_folders["lora"], tmp_path / "pattern")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": r".*\.layers\.\d+\..*_proj"}))
    assert loaded.answerer(folder).parts.keys() == loaded.answerer(adapter_folders["lora"]).parts.keys()


def test_in_four_bits_a_shared_batch_gives_each_row_what_its_adapter_gives_alone(base_folder, adapter_folders):
    loaded = LoadedBase(BaseChoice(base_path=base_folder, base_name="tiny", quantization="nf4"), "cpu")
    answerer = loaded.answerer(adapter_folders["lora"])
    tokens = make_tokenizer()("The lighthouse", return_tensors="pt")["input_ids"]
    with torch.no_grad(), each_row_its_own(loaded.together, [{}, answerer.parts]):
        both = loaded.together(input_ids=tokens.repeat(2, 1)).logits
    with torch.no_grad():
        for row, model in zip(both, (loaded.model, answerer.model), strict=True):
            assert torch.allclose(row, model(input_ids=tokens).logits[0], atol=1e-3)


def test_in_eight_bits_rows_share_no_batch_since_they_would_change_each_other(base_folder, adapter_folders):
    loaded = LoadedBase(BaseChoice(base_path=base_folder, base_name="tiny", quantization="int8"), "cpu")
    assert loaded.answerer(None).parts is loaded.answerer(adapter_folders["lora"]).parts is None


@pytest.mark.parametrize("name", ["lora", "ia3", "prompt"])
def test_an_adapter_of_another_base_does_not_fit(adapter_folders, tmp_path, name):
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=261, hidden_size=48, intermediate_size=64, num_hidden_layers=1,
                                 num_attention_heads=4, pad_token_id=0)).save_pretrained(tmp_path / "wider")
    make_tokenizer().save_pretrained(tmp_path / "wider")
    wider = LoadedBase(BaseChoice(base_path=tmp_path / "wider", base_name="wider"), "cpu")
    with pytest.raises(AdapterMisfit, match="wider"):
        wider.answerer(adapter_folders[name])


def test_a_base_model_that_cannot_do_the_task_is_refused(encoder_folder, tmp_path):
    with pytest.raises(BaseUnloadable, match="text-generation"):
        LoadedBase(BaseChoice(base_path=encoder_folder, base_name="bert"), "cpu")
    with pytest.raises(BaseModelRefused, match="does not exist"):
        Bench("cpu").load(BaseChoice(base_path=tmp_path / "gone", base_name="gone"))
