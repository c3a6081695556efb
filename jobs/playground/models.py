"""One copy of a base model's weights in memory, and module trees on it: one for the base and one for each adapter."""

import copy
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import psutil
import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils import ModulesToSaveWrapper
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from jobs.checksums import SUMS, first_damaged, written_sums
from jobs.methods.special import special_of
from jobs.methods.special.tasks import tasks_in
from jobs.models.inspect import inspect_base_model
from jobs.models.safetensors_header import read_header
from jobs.peft_types import import_own_methods
from jobs.playground.adapter_config import CONFIG, MAX_CONFIG_BYTES, WEIGHTS, adapter_type, check_config, check_copies
from jobs.playground.problems import AdapterBroken, AdapterMisfit, BaseUnloadable, DeviceFull, PromptTooLong, PromptUnusable
from jobs.playground.products import fast_for_one_row, fast_for_several_rows
from jobs.playground.request import Arrow, BaseChoice, Blend
from jobs.playground.routing import Routing
from jobs.playground.together import Parts, parts_of
from jobs.preparing.encoding import load_tokenizer
from jobs.recipe import LABELLED, PEFT_TASKS
from jobs.training.base import DTYPES, keep_layout, quantization_config
from jobs.training.devices import choose_precision
from jobs.whole_models import is_whole_model

ADAPTER_LIMIT = 16  # attached adapters; beyond it, the one unused for longest is detached
CLOSE = 0.9  # of the memory limit
MIXED_LIMIT = 4  # blends and routed adapters in memory, the last ones heard

AUTO_CLASSES = {"text-generation": AutoModelForCausalLM, "text-classification": AutoModelForSequenceClassification,
                "token-classification": AutoModelForTokenClassification, "sentence-similarity": AutoModel}

PICKLE, LABELS = "adapter_model.bin", "config.json"


@dataclass(frozen=True)
class Answerer:
    """What one pane asks: the base model, or an adapter on it."""

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    context_length: int | None  # tokens for prompt and answer together; virtual tokens of the adapter are taken off
    labels: tuple[str, ...] | None  # of a head: the label names by id (a single one: it gives a number); None: it was never trained
    bytes: int  # memory that it takes beside the base model's
    tasks: int = 0  # that the adapter learned, where it must be told as which of them it answers
    parts: Parts | None = None  # what it adds to the base model, where it can share a batch with others; of the base: nothing
    routing: Routing | None = None  # of several adapters that Arrow picks from: what it picked

    def fit(self, encoded) -> dict[str, torch.Tensor]:
        """Encoded texts on the device; raises PromptTooLong or PromptUnusable."""
        length = encoded["input_ids"].shape[1]
        if not length:
            raise PromptUnusable("This model's tokenizer makes no tokens of the prompt. Write some words.")
        if self.context_length and length >= self.context_length:
            raise PromptTooLong(length, self.context_length)
        return {name: tensor.to(self.device) for name, tensor in encoded.items()}


class LoadedBase:
    """A base model on a device, and the adapters that are attached to its weights."""

    def __init__(self, choice: BaseChoice, device: str, adapter_limit: int = ADAPTER_LIMIT):
        """Load it; raises a StudioError that says why it cannot be."""
        self.choice, self.device, self.adapter_limit = choice, torch.device(device), adapter_limit
        self.facts = inspect_base_model(choice.base_path)
        self.files = fingerprint(choice.base_path)
        logging.disable_progress_bar()
        import_own_methods()
        try:
            self.tokenizer = load_tokenizer(choice.base_path)
            self.model, loading = self._load(choice.base_path)
        except torch.OutOfMemoryError as error:
            raise DeviceFull(device) from error
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise BaseUnloadable(choice.base_name, choice.task, _first_line(error)) from error
        self.untrained = self._untrained(loading)
        if self.untrained and choice.task == "text-generation":
            raise BaseUnloadable(choice.base_name, choice.task, f"its files lack {', '.join(sorted(self.untrained)[:3])}")
        self.model.eval().requires_grad_(False)
        # in 8 bits, bitsandbytes treats the columns with outliers otherwise: one row's change what the others get
        self.one_by_one = any(hasattr(module, "init_8bit_state") for module in self.model.modules())
        self.shared = {id(tensor): tensor for tensor in _tensors(self.model)}
        self.bytes = memory_of(self.shared.values())
        # replaced, never changed: the state is read from another thread. The order is the order of last use.
        self._adapters: dict[Path, tuple[tuple, Answerer]] = {}
        self._mixed: dict[Blend | Arrow, tuple[tuple, Answerer]] = {}

    def answerer(self, folder: Path | None) -> Answerer:
        """The base model with the adapter of that PEFT folder, attached now or before; None is the base model as it is.

        Raises AdapterBroken or AdapterMisfit.
        """
        return self._base() if folder is None else self._adapter(folder)

    def blend(self, blend: Blend) -> Answerer:
        """Several LoRA adapters as one; raises BlendRefused, AdapterBroken or AdapterMisfit."""
        from jobs.playground.blending import blended  # here: it needs this module

        def make() -> Answerer:
            model = blended(self, blend)
            own = self._own(model)
            return replace(self.answerer(blend.parts[0].adapter_folder), model=model, bytes=memory_of(own),
                           parts=self._parts(model, own))
        return self._mixture(blend, [part.adapter_folder for part in blend.parts], make)

    def arrow(self, arrow: Arrow) -> Answerer:
        """Several LoRA adapters routed token by token; raises ArrowRefused, AdapterBroken or AdapterMisfit."""
        from jobs.playground.arrow import arrow_model  # here: it needs this module

        def make() -> Answerer:
            model = arrow_model(self, arrow)
            return replace(self.answerer(arrow.adapter_folders[0]), model=model, bytes=memory_of(self._own(model)), parts=None,
                           routing=Routing(model))
        return self._mixture(arrow, arrow.adapter_folders, make)

    def _mixture(self, wanted: Blend | Arrow, folders: Iterable[Path], make: Callable[[], Answerer]) -> Answerer:
        """From memory where none of its adapters' files has changed."""
        files = tuple(fingerprint(folder) for folder in folders)
        known = self._mixed.pop(wanted, None)
        if known is None or known[0] != files:
            known = files, make()
        self._mixed = {**dict(list(self._mixed.items())[-MIXED_LIMIT + 1:]), wanted: known}
        return known[1]

    def _own(self, model: torch.nn.Module) -> list[torch.Tensor]:
        return [tensor for tensor in _tensors(model) if id(tensor) not in self.shared]

    def _parts(self, model: PeftModel, own: list[torch.Tensor]) -> Parts | None:
        return None if self.one_by_one else parts_of(model, own)

    @cached_property
    def together(self) -> PreTrainedModel:
        """One more tree on the base model's weights, for batches whose rows belong to several adapters."""
        return fast_for_several_rows(copy.deepcopy(self.model, dict(self.shared)))

    def attached(self) -> dict[Path, Answerer]:
        """Adapters in memory, the one unused for longest first."""
        return {folder: answerer for folder, (_, answerer) in self._adapters.items()}

    def detach_oldest(self, keep: set[Path | None], memory_limit: int = 0) -> None:
        """Let go of the adapters that were not used for longest, as far as there are too many; `keep` are in use.

        Close to the memory limit, of all that are not in use.

        Of whole models, which take as much memory as the base, none stays that is not in use.
        """
        unused = [folder for folder in self._adapters if folder not in keep]
        close = memory_limit and psutil.Process().memory_info().rss > CLOSE * memory_limit
        gone = unused if close else unused[:max(0, len(self._adapters) - self.adapter_limit)]
        gone += [folder for folder in unused if not isinstance(self._adapters[folder][1].model, PeftModel)]
        self._adapters = {folder: known for folder, known in self._adapters.items() if folder not in gone}

    def _base(self) -> Answerer:
        labels = None
        if self.choice.task in LABELLED and not self.untrained:
            labels = tuple(self.model.config.id2label[number] for number in range(self.model.config.num_labels))
        return Answerer(self.model, self.tokenizer, self.device, self.facts.context_length, labels, 0,
                        parts=None if self.one_by_one else {})

    def _adapter(self, folder: Path) -> Answerer:
        files = fingerprint(folder)
        others = dict(self._adapters)
        known = others.pop(folder, None)
        if known is None or known[0] != files:
            config = None if is_whole_model(folder) else self._read_adapter(folder)
            self._check_sums(folder)
            known = files, self._attach(folder, config) if config else self._whole(folder)
        self._adapters = {**others, folder: known}
        return known[1]

    def _whole(self, folder: Path) -> Answerer:
        """A whole model, as full fine-tuning leaves it: its weights are its own."""
        facts = inspect_base_model(folder)
        try:
            model, loading = self._load(folder)
            tokenizer = load_tokenizer(folder)
        except torch.OutOfMemoryError as error:
            raise DeviceFull(str(self.device)) from error
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise AdapterBroken(folder, f"its model cannot be loaded ({_first_line(error)})") from error
        if lacking := self._untrained(loading):
            raise AdapterMisfit(folder, self.choice.base_name, f"its model has no trained weights for '{sorted(lacking)[0]}'")
        labels = tuple(model.config.id2label[number] for number in range(model.config.num_labels)) \
            if self.choice.task in LABELLED else None
        model.eval().requires_grad_(False)
        return Answerer(model, tokenizer, self.device, facts.context_length, labels, memory_of(_tensors(model)))

    def _untrained(self, loading: dict) -> set[str]:
        return {key for key in loading["missing_keys"]
                if self.choice.task != "sentence-similarity" or not key.startswith("pooler.")}  # it uses no pooler

    def _load(self, folder: Path) -> tuple[PreTrainedModel, dict]:
        choice = self.choice
        dtype = DTYPES[choose_precision("auto", str(self.device))]
        placed = self.device.type != "cpu" or choice.quantization != "none"
        model, loading = AUTO_CLASSES[choice.task].from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=dtype,
            quantization_config=quantization_config(choice.quantization, dtype, choice.task),
            device_map={"": str(self.device)} if placed else None, output_loading_info=True)
        for module in model.modules():
            if hasattr(module, "init_8bit_state"):  # bitsandbytes would do it in the first tree only
                module.init_8bit_state()
        keep_layout(model)
        if choice.task == "text-generation":  # the others read whole texts
            fast_for_one_row(model)
        return model, loading

    def _attach(self, folder: Path, config: PeftConfig) -> Answerer:
        labels = _read_labels(folder) if self.choice.task in LABELLED else None
        special = special_of(adapter_type(config))
        own_weights = changes_base(config)
        tree = copy.deepcopy(self.model, {} if own_weights else dict(self.shared))
        if labels:
            _resize_head(tree, labels)
        check_copies(folder, config, tree)
        try:
            tree.config.use_cache = not special.without_cache
            model = PeftModel.from_pretrained(tree, folder, config=config).eval()
            special.opened(model)
            if why := special.misfit(model, folder):
                raise AdapterMisfit(folder, self.choice.base_name, why)
            if config.is_prompt_learning:  # peft finds out that the sizes differ only when the model is used
                self._try(model)
        except KeyError as error:
            raise AdapterBroken(folder, f"its weights lack {error}") from error
        except torch.OutOfMemoryError as error:
            raise DeviceFull(str(self.device)) from error
        except (RuntimeError, ValueError, re.error) as error:  # other shapes, other layer names
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
        own = self._own(model)
        return Answerer(model, tokenizer, self.device, context, labels, memory_of(own), tasks_in(config),
                        self._parts(model, own))

    @torch.inference_mode()
    def _try(self, model: PeftModel) -> None:
        token = torch.zeros(1, 1, dtype=torch.long, device=self.device)
        model(input_ids=token, attention_mask=torch.ones_like(token))

    def _read_adapter(self, folder: Path) -> PeftConfig:
        if not folder.is_dir():
            raise AdapterBroken(folder, "the folder does not exist")
        try:
            if (size := (folder / CONFIG).stat().st_size) > MAX_CONFIG_BYTES:
                raise AdapterBroken(folder, f"its {CONFIG} has {size:,} bytes, and at most {MAX_CONFIG_BYTES:,} are allowed")
            values = json.loads((folder / CONFIG).read_bytes())
            config_class = PEFT_TYPE_TO_CONFIG_MAPPING[values["peft_type"]]
            special = special_of(values["peft_type"])
            special.prepare()
            config = special.located(config_class.from_pretrained(folder), folder)
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
        check_config(folder, config, self.choice.base_name, self.model)
        return config

    @staticmethod
    def _check_sums(folder: Path) -> None:
        """What the studio wrote must be as it was written; other adapters come without a list of sums."""
        if damaged := first_damaged(folder, written_sums(folder)):
            raise AdapterBroken(folder, f"its file '{damaged}' is not what its {SUMS} says")

    def _check_complete(self, folder: Path, model: PeftModel) -> None:
        """Nothing may answer with weights that were never trained: neither the adapter's nor a head's."""
        if missing := set(get_peft_model_state_dict(model)) - set(read_header(folder / WEIGHTS)):
            raise AdapterBroken(folder, f"its weights lack '{sorted(missing)[0]}'")
        saved = [name.removeprefix("base_model.").removeprefix("model.") + "." for name, module in model.named_modules()
                 if isinstance(module, ModulesToSaveWrapper)]
        if random := [key for key in sorted(self.untrained) if not key.startswith(tuple(saved))]:
            raise AdapterBroken(folder, f"neither it nor the base model has trained weights for '{random[0]}'")


def changes_base(config: PeftConfig) -> bool:
    """Whether opening an adapter may change weights of the base model, so that it needs some of its own."""
    return getattr(config, "bias", "none") != "none" or special_of(adapter_type(config)).writes_into_base(config)


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
