"""Which files make up a split of a dataset on the Hub, by the datasets library's own rules. A program of its own, since that
library is large: python -m jobs.hub_splits, with a question in JSON on its input; the answer is the last line of its output.
"""

import json
import sys

DEFAULT = "default"


def resolve(hub_id: str, commit: str, first: str, second: str) -> dict:
    """`config`, `split` and `files` (paths in the repository); or `unknown` (config or split) with the `names` that exist.

    `first` and `second` are what was asked for: a config and a split, a split or a config alone, or nothing.
    """
    from datasets import DownloadConfig
    from datasets.load import dataset_module_factory

    # a commit, which also keeps the library from asking another server for what it knows of the newest one
    module = dataset_module_factory(hub_id, revision=commit)
    known = module.builder_configs_parameters
    configs = {config.name: config for config in known.builder_configs}
    default = known.default_config_name if known.default_config_name in configs else DEFAULT
    default = default if default in configs else next(iter(configs)) if len(configs) == 1 else ""
    name, split = (first, second) if second else (first, "") if first in configs and first != default else (default, first)
    if not name:
        return {"unknown": "config", "asked": "", "names": list(configs)}
    if name not in configs:
        return {"unknown": "config", "asked": name, "names": list(configs)}
    config = configs[name]
    config._resolve_data_files(base_path=module.builder_kwargs["base_path"], download_config=DownloadConfig())
    splits = {str(split): [str(path) for path in paths] for split, paths in config.data_files.items()}
    if split == name and split not in splits:  # the config that is taken anyway, by its name
        split = ""
    split = split or ("train" if "train" in splits else next(iter(splits)) if len(splits) == 1 else "")
    if split not in splits:
        return {"unknown": "split", "asked": split, "names": list(splits), "config": name}
    prefix = f"hf://datasets/{hub_id}@{commit}/"
    return {"config": name, "split": split, "files": [path.removeprefix(prefix) for path in splits[split]]}


def main() -> None:
    question = json.load(sys.stdin)
    try:
        answer = resolve(**question)
    except Exception as problem:  # whatever it is, the asking process says so in its own words
        answer = {"problem": type(problem).__name__, "detail": str(problem)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
