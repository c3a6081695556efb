"""One copy of a base model's weights in memory, and module trees on it: one for the base and one for each adapter."""

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils import ModulesToSaveWrapper
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from jobs.models.inspect import inspect_base_model
from jobs.models.safetensors_header import read_header
from jobs.playground.problems import AdapterBroken, AdapterMisfit, BaseUnloadable, DeviceFull
from jobs.playground.request import BaseChoice
from jobs.training.base import DTYPES, quantization_config
from jobs.training.devices import choose_precision

ADAPTER_LIMIT = 16  # attached adapters; beyond it, the one unused for longest is detached

AUTO_CLASSES = {"text-generation": AutoModelForCausalLM, "text-classification": AutoModelForSequenceClassification}
PEFT_TASKS = {"text-generation": "CAUSAL_LM", "text-classification": "SEQ_CLS"}

CONFIG, WEIGHTS, PICKLE, LABELS = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "config.json"


@dataclass(frozen=True)
class Answerer:
    """What one pane asks: the base model, or an adapter on it."""

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    context_length: int | None  # tokens for prompt and answer together; virtual tokens of the adapter are taken off
    labels: tuple[str, ...] | None  # classification: the label names by id; None: the head was never trained
    bytes: int  # memory that it takes beside the base model's


class LoadedBase:
    """A base model on a device, and the adapters that are attached to its weights."""

    def __init__(self, choice: BaseChoice, device: str, adapter_limit: int = ADAPTER_LIMIT):
        """Load it; raises a StudioError that says why it cannot be."""
        self.choice, self.device, self.adapter_limit = choice, torch.device(device), adapter_limit
        self.facts = inspect_base_model(choice.base_path)
        self.files = fingerprint(choice.base_path)
        logging.disable_progress_bar()
        try:
            self.tokenizer = load_tokenizer(choice.base_path)
            self.model, loading = self._load()
        except torch.OutOfMemoryError as error:
            raise DeviceFull(device) from error
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise BaseUnloadable(choice.base_name, choice.task, _first_line(error)) from error
        self.untrained = set(loading["missing_keys"])
        if self.untrained and choice.task == "text-generation":
            raise BaseUnloadable(choice.base_name, choice.task, f"its files lack {', '.join(sorted(self.untrained)[:3])}")
        self.model.eval().requires_grad_(False)
        self._shared = {id(tensor): tensor for tensor in _tensors(self.model)}
        self.bytes = memory_of(self._shared.values())
        # replaced, never changed: the state is read from another thread. The order is the order of last use.
        self._adapters: dict[Path, tuple[tuple, Answerer]] = {}

    def answerer(self, folder: Path | None) -> Answerer:
        """The base model with the adapter of that PEFT folder, attached now or before; None is the base model as it is.

        Raises AdapterBroken or AdapterMisfit.
        """
        return self._base() if folder is None else self._adapter(folder)

    def attached(self) -> dict[Path, Answerer]:
        """Adapters in memory, the one unused for longest first."""
        return {folder: answerer for folder, (_, answerer) in self._adapters.items()}

    def detach_oldest(self, keep: set[Path | None]) -> None:
        """Let go of the adapters that were not used for longest, as far as there are too many; `keep` are in use."""
        unused = [folder for folder in self._adapters if folder not in keep]
        gone = unused[:max(0, len(self._adapters) - self.adapter_limit)]
        self._adapters = {folder: known for folder, known in self._adapters.items() if folder not in gone}

    def _base(self) -> Answerer:
        labels = None
        if self.choice.task == "text-classification" and not self.untrained:
            labels = tuple(self.model.config.id2label[number] for number in range(self.model.config.num_labels))
        return Answerer(self.model, self.tokenizer, self.device, self.facts.context_length, labels, 0)

    def _adapter(self, folder: Path) -> Answerer:
        config = self._read_adapter(folder)
        files = fingerprint(folder)
        others = dict(self._adapters)
        known = others.pop(folder, None)
        if known is None or known[0] != files:
            known = files, self._attach(folder, config)
        self._adapters = {**others, folder: known}
        return known[1]

    def _load(self) -> tuple[PreTrainedModel, dict]:
        choice = self.choice
        dtype = DTYPES[choose_precision("auto", str(self.device))]
        placed = self.device.type != "cpu" or choice.quantization != "none"
        model, loading = AUTO_CLASSES[choice.task].from_pretrained(
            choice.base_path, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=dtype,
            quantization_config=quantization_config(choice.quantization, dtype),
            device_map={"": str(self.device)} if placed else None, output_loading_info=True)
        for module in model.modules():
            if hasattr(module, "init_8bit_state"):  # bitsandbytes would do it in the first tree only
                module.init_8bit_state()
        return model, loading

    def _attach(self, folder: Path, config: PeftConfig) -> Answerer:
        labels = _read_labels(folder) if self.choice.task == "text-classification" else None
        # such an initialisation (PiSSA, OLoRA, …) writes into the base's weights, so it gets its own
        own_weights = getattr(config, "init_lora_weights", True) not in (True, False, "gaussian")
        tree = copy.deepcopy(self.model, {} if own_weights else dict(self._shared))
        if labels:
            _resize_head(tree, labels)
        try:
            model = PeftModel.from_pretrained(tree, folder, config=config).eval()
            if config.is_prompt_learning:  # peft finds out that the sizes differ only when the model is used
                self._try(model)
        except KeyError as error:
            raise AdapterBroken(folder, f"its weights lack {error}") from error
        except torch.OutOfMemoryError as error:
            raise DeviceFull(str(self.device)) from error
        except (RuntimeError, ValueError) as error:  # other shapes, other layer names
            raise AdapterMisfit(folder, self.choice.base_name, _first_line(error)) from error
        self._check_complete(folder, model)
        try:
            tokenizer = load_tokenizer(folder) if (folder / "tokenizer_config.json").exists() else self.tokenizer
        except (OSError, ValueError) as error:
            raise AdapterBroken(folder, f"its tokenizer cannot be loaded ({_first_line(error)})") from error
        if labels:
            model.config.pad_token_id = tokenizer.pad_token_id
        context = self.facts.context_length
        if context and config.is_prompt_learning:
            context -= config.num_virtual_tokens
        own = [tensor for tensor in _tensors(model) if id(tensor) not in self._shared]
        return Answerer(model, tokenizer, self.device, context, labels, memory_of(own))

    @torch.inference_mode()
    def _try(self, model: PeftModel) -> None:
        token = torch.zeros(1, 1, dtype=torch.long, device=self.device)
        model(input_ids=token, attention_mask=torch.ones_like(token))

    def _read_adapter(self, folder: Path) -> PeftConfig:
        if not folder.is_dir():
            raise AdapterBroken(folder, "the folder does not exist")
        try:
            values = json.loads((folder / CONFIG).read_bytes())
            config_class = PEFT_TYPE_TO_CONFIG_MAPPING[values["peft_type"]]
            config = config_class.from_pretrained(folder)
        except FileNotFoundError as error:
            raise AdapterBroken(folder, f"it has no {CONFIG}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise AdapterBroken(folder, f"its {CONFIG} is damaged or from a newer version of peft ({error})") from error
        wanted = PEFT_TASKS[self.choice.task]
        if config.task_type not in (wanted, None):
            raise AdapterMisfit(folder, self.choice.base_name, f"it was trained for {config.task_type}, not {wanted}")
        if not (folder / WEIGHTS).is_file():
            unsafe = f", only {PICKLE}, and such a file can run code when it is opened" if (folder / PICKLE).exists() else ""
            raise AdapterBroken(folder, f"it has no {WEIGHTS}{unsafe}")
        read_header(folder / WEIGHTS)
        return config

    def _check_complete(self, folder: Path, model: PeftModel) -> None:
        """Nothing may answer with weights that were never trained: neither the adapter's nor a head's."""
        if missing := set(get_peft_model_state_dict(model)) - set(read_header(folder / WEIGHTS)):
            raise AdapterBroken(folder, f"its weights lack '{sorted(missing)[0]}'")
        saved = [name.removeprefix("base_model.").removeprefix("model.") + "." for name, module in model.named_modules()
                 if isinstance(module, ModulesToSaveWrapper)]
        if random := [key for key in sorted(self.untrained) if not key.startswith(tuple(saved))]:
            raise AdapterBroken(folder, f"neither it nor the base model has trained weights for '{random[0]}'")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base model or adapter folder, with a padding token."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def fingerprint(folder: Path) -> tuple:
    """Changes when a file of the folder does; empty where there is no folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    return tuple((path.name, status.st_size, status.st_mtime_ns) for path in files for status in [path.stat()])


def memory_of(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes that these tensors take, shared memory counted once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def _tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    """Everything that takes memory; bitsandbytes holds the scales of a quantised layer beside its weight."""
    tensors = [*model.parameters(), *model.buffers()]
    states = [module.state for module in model.modules() if hasattr(module, "init_8bit_state")]
    for weight in model.parameters():
        if state := getattr(weight, "quant_state", None):
            states += [state, state.state2] if state.nested else [state]
    return tensors + [value for state in states for value in vars(state).values() if isinstance(value, torch.Tensor)]


def _resize_head(tree: PreTrainedModel, labels: tuple[str, ...]) -> None:
    """Give a classifier an empty head for these labels; the adapter fills it."""
    tree.config.num_labels = tree.num_labels = len(labels)
    tree.config.id2label = dict(enumerate(labels))
    tree.config.label2id = {label: number for number, label in enumerate(labels)}
    with torch.device("meta"):
        wanted = type(tree)(tree.config)
    for name, part in wanted.named_children():
        have = tree.get_submodule(name)
        if name != tree.base_model_prefix and \
                [weight.shape for weight in part.parameters()] != [weight.shape for weight in have.parameters()]:
            setattr(tree, name, part.to_empty(device=tree.device).to(tree.dtype).eval())


def _read_labels(folder: Path) -> tuple[str, ...]:
    try:
        names = json.loads((folder / LABELS).read_bytes())["id2label"]
        labels = tuple(names[str(number)] for number in range(len(names)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterBroken(folder, f"its label names cannot be read from {LABELS}") from error
    if not labels or not all(isinstance(label, str) for label in labels):
        raise AdapterBroken(folder, f"the id2label of its {LABELS} does not give names")
    return labels


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = lines[1] if len(lines) > 1 and lines[0].endswith(":") else lines[0] if lines else type(error).__name__
    return detail[:300].rstrip(".")
