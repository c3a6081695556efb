"""Which files make up a base model in a folder, and the checks that keep unsafe ones out."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from jobs.models.problems import (
    ChatTemplateTooLarge,
    CodeOfItsOwn,
    ConfigMissing,
    FileBroken,
    PickleWeights,
    TokenizerMissing,
    WeightsMissing,
)

MAX_JSON_BYTES = 16 * 1024**2
MAX_TEMPLATE_BYTES = 64 * 1024

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
TOKENIZERS = (
    "tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "vocab.json",
    "tekken.json",
)  # fmt: skip
# What changes how a model behaves, besides its weights; its README and the like do not.
BEHAVIOUR = (
    CONFIG, "generation_config.json", WEIGHTS_INDEX, TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json",
    "merges.txt", "chat_template.jinja", "chat_template.json", *TOKENIZERS,
)  # fmt: skip


def read_json(path: Path) -> dict:
    """The JSON object in a file of at most MAX_JSON_BYTES; raises FileBroken."""
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise FileBroken(path, f"it has {size:,} bytes, and at most {MAX_JSON_BYTES:,} are allowed")
    try:
        content = json.loads(path.read_bytes())
    except RecursionError as problem:
        raise FileBroken(path, "it is nested too deeply") from problem
    except UnicodeDecodeError as problem:
        raise FileBroken(path, "it is not text in UTF-8") from problem
    except json.JSONDecodeError as problem:
        raise FileBroken(path, f"it is not JSON (line {problem.lineno}, column {problem.colno})") from problem
    if not isinstance(content, dict):
        raise FileBroken(path, "it is not a JSON object")
    return content


def read_config(folder: Path, model: object = None) -> dict:
    """config.json, once neither it nor tokenizer_config.json asks for code; `model` names the model in problems."""
    model = model or folder
    if not (folder / CONFIG).is_file():
        raise ConfigMissing(model)
    config = read_json(folder / CONFIG)
    refuse_code(model, CONFIG, config)
    if (folder / TOKENIZER_CONFIG).is_file():
        refuse_code(model, TOKENIZER_CONFIG, read_json(folder / TOKENIZER_CONFIG))
    return config


def refuse_code(model: object, name: str, content: object) -> None:
    """Raise CodeOfItsOwn where a config names Python code or a kernel from a repository, however deep."""
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == "auto_map" and value:
                    raise CodeOfItsOwn(model, f"auto_map in {name}")
                if key.endswith(("attn_implementation", "attn_implementation_internal", "experts_implementation")):
                    # "sdpa" is built in; "org/kernel" is fetched and run. A dict gives one for each part of the model.
                    kernels = value.values() if isinstance(value, dict) else [value]
                    if any(re.search("[/:@]", kernel) for kernel in kernels if isinstance(kernel, str)):
                        raise CodeOfItsOwn(model, f"{key} in {name}")
                waiting.append(value)


def weight_files(folder: Path) -> list[str]:
    """Names of the safetensors files that hold the weights, all present; raises WeightsMissing or PickleWeights."""
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if (folder / WEIGHTS_INDEX).is_file():
        shards = shards_of(folder / WEIGHTS_INDEX)
        missing = [name for name in shards if not (folder / name).is_file()]
        if missing:
            raise WeightsMissing(folder, f", and {', '.join(missing)} named in its {WEIGHTS_INDEX} is missing")
        return shards
    refuse_weights(folder, (path.name for path in folder.iterdir()))


def refuse_weights(model: object, names: Iterable[str]) -> None:
    """Raise the problem of a model that has neither model.safetensors nor its index among `names`."""
    names = sorted(names)
    if "adapter_config.json" in names:
        raise WeightsMissing(model, ", only an adapter (adapter_config.json)")
    if pickles := [name for name in names if name.endswith(PICKLES) and name != "training_args.bin"]:
        raise PickleWeights(model, pickles)
    if others := [name for name in names if name.endswith((".gguf", ".onnx", ".safetensors"))]:
        raise WeightsMissing(model, f", only {', '.join(others[:3])}")
    raise WeightsMissing(model)


def shards_of(index: Path) -> list[str]:
    """Names of the weight files that an index lists; raises FileBroken unless they are plain names."""
    return sorted(set(weight_map_of(index).values()))


def weight_map_of(index: Path) -> dict[str, str]:
    """Tensor name to file name, as model.safetensors.index.json has it; raises FileBroken."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FileBroken(index, "it has no weight_map")
    for name in weight_map.values():
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*\.safetensors", name):
            raise FileBroken(index, f"it names the weights file {str(name)[:100]!r}")
    return weight_map


def check_tokenizer(folder: Path) -> bool:
    """Whether there is a chat template; raises TokenizerMissing, ChatTemplateTooLarge or FileBroken."""
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise TokenizerMissing(folder)
    found = False
    for path in (folder / "chat_template.jinja", *sorted(folder.glob("additional_chat_templates/*.jinja"))):
        if path.is_file():
            found = True
            _check_template_size(path, path.stat().st_size)
    for path in (folder / TOKENIZER_CONFIG, folder / "chat_template.json"):
        if path.is_file() and (template := read_json(path).get("chat_template")):
            found = True
            _check_template_size(path, len(json.dumps(template, ensure_ascii=False).encode(errors="surrogatepass")))
    return found


def _check_template_size(path: Path, size: int) -> None:
    if size > MAX_TEMPLATE_BYTES:
        raise ChatTemplateTooLarge(path, size, MAX_TEMPLATE_BYTES)
