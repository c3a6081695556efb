"""What a base model is, read from its folder without loading it, and whether it may be used."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jobs.models.families import PADDED_POSITIONS, tasks_of
from jobs.models.licence import licence_of
from jobs.models.model_files import WEIGHTS, WEIGHTS_INDEX, check_tokenizer, read_config, weight_files, weight_map_of
from jobs.models.problems import CodeOfItsOwn, FileBroken, FolderMissing, WeightsDamaged, WeightsMissing
from jobs.models.safetensors_header import TensorHeader, read_header

FLOATS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}  # fmt: skip


@dataclass(frozen=True)
class BaseModelFacts:
    """What a person wants to know about a base model before choosing it. None: the model does not say."""

    path: Path
    architecture: str  # the class in transformers
    model_type: str
    parameters: int  # stored floating-point numbers; weights that are tied are stored, and counted, once
    layers: int | None
    hidden_size: int | None
    context_length: int | None  # tokens
    vocab_size: int | None
    dtype: str  # of most of the weights, by torch's name
    bytes_on_disk: int  # all files of the folder
    licence: str | None
    quantization: str | None  # the method, where the weights are stored quantized
    has_chat_template: bool
    tasks: tuple[str, ...]  # by the Hub's names; empty: none of the studio's tasks


def inspect_base_model(folder: Path | str) -> BaseModelFacts:
    """Read a model's folder; raises a BaseModelRefused that says what is missing, damaged or unsafe."""
    folder = Path(folder).expanduser().absolute()
    if not folder.is_dir():
        raise FolderMissing(folder)
    try:
        return _inspect(folder)
    except PermissionError as problem:
        raise FileBroken(Path(problem.filename or folder), "the studio's user may not read it") from problem


def _inspect(folder: Path) -> BaseModelFacts:
    config = read_config(folder)
    if scripts := sorted(path.name for path in folder.glob("*.py")):
        raise CodeOfItsOwn(folder, ", ".join(scripts[:3]))
    tensors = _read_tensors(folder)
    has_chat_template = check_tokenizer(folder)

    text_config = _text_config(config)
    architecture = _architecture(config)
    model_type = str(config.get("model_type") or "")
    quantization = config.get("quantization_config")
    return BaseModelFacts(
        path=folder,
        architecture=architecture or model_type,
        model_type=model_type,
        parameters=sum(tensor.elements for tensor in tensors.values() if tensor.dtype in FLOATS),
        layers=_number(text_config, "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        hidden_size=width_of(config) or None,
        context_length=_context_length(text_config, model_type),
        vocab_size=_number(text_config, "vocab_size"),
        dtype=_dtype(tensors),
        bytes_on_disk=sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        licence=licence_of(folder),
        quantization=str(quantization.get("quant_method")) if isinstance(quantization, dict) else None,
        has_chat_template=has_chat_template,
        tasks=tasks_of(model_type, architecture, encoder_decoder=bool(config.get("is_encoder_decoder"))),
    )


def _read_tensors(folder: Path) -> dict[str, TensorHeader]:
    files = weight_files(folder)
    tensors = {name: read_header(folder / name) for name in files}
    if files != [WEIGHTS]:
        for tensor, name in weight_map_of(folder / WEIGHTS_INDEX).items():
            if tensor not in tensors[name]:
                raise WeightsDamaged(folder / name, f"it lacks '{tensor[:100]}', which {WEIGHTS_INDEX} places in it")
    merged = {tensor: header for headers in tensors.values() for tensor, header in headers.items()}
    if not merged:
        raise WeightsMissing(folder, " with a tensor in it")
    return merged


def _architecture(config: dict) -> str:
    architectures = config.get("architectures")
    return str(architectures[0]) if isinstance(architectures, list) and architectures else ""


def _text_config(config: dict) -> dict:
    """The part that describes the language model: multimodal models keep it one level down."""
    for key in ("text_config", "llm_config"):
        if isinstance(config.get(key), dict):
            return {**config, **config[key]}
    return config


def width_of(config: dict) -> int:
    """The hidden size by a model's config; 0 where it does not say."""
    return _number(_text_config(config), "hidden_size", "n_embd", "d_model", "dim") or 0


def _number(config: dict, *keys: str) -> int | None:
    return next((config[key] for key in keys if type(config.get(key)) is int), None)


def _context_length(config: dict, model_type: str) -> int | None:
    positions = _number(config, "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length")
    if positions and model_type in PADDED_POSITIONS:
        padding = _number(config, "pad_token_id")
        return positions - (1 if padding is None else padding) - 1
    return positions


def _dtype(tensors: dict[str, TensorHeader]) -> str:
    elements = Counter()
    for tensor in tensors.values():
        elements[tensor.dtype] += tensor.elements
    most = elements.most_common(1)[0][0]
    return FLOATS.get(most, most.lower())
