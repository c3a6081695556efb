"""A published adapter without the training: its files and its record are real, its weights are noise."""

import hashlib
import json
import random

from jobs.services import Services
from storage.records import RunState

CARD = "---\nbase_model: tiny/llama\nlibrary_name: peft\n---\n# An adapter\n"


def publish_adapter(services: Services, size: int = 60_000) -> str:
    """The id of a finished run with an adapter whose weights have `size` bytes."""
    services.runs.submit(name="poet", task="text-generation", method="lora", base_model="b", recipe={}, base={}, data={})
    run = services.leases.claim_next("cpu", "here")
    folder = services.settings.adapters_dir / f"{run.id}-{run.fence}"
    folder.mkdir(parents=True)
    contents = {
        "adapter_config.json": json.dumps({"peft_type": "LORA"}).encode(),
        "adapter_model.safetensors": random.Random(run.id).randbytes(size),
        "README.md": CARD.encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = [{"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
             for name, content in contents.items()]
    record = {"name": "poet", "folder": folder.name, "zip_name": f"{folder.name}.zip", "files": files, "bytes": size,
              "zip_bytes": 0, "task": "text-generation", "method": "lora", "base_model": "b", "base_path": "", "base_hash": ""}
    assert services.leases.end(run.id, run.fence, RunState.FINISHED, adapter=record)
    return run.id
