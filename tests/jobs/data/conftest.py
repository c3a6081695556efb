import json
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Write a small real file: text, bytes, or a list of rows as JSON lines (.jsonl) or as one list (.json)."""

    def write_file(name: str, content, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_bytes(content.encode(encoding))
        elif path.suffix == ".json":
            path.write_text(json.dumps(content))
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in content))
        return path

    return write_file


@pytest.fixture
def shared_file() -> Callable[[str], Path]:
    """A file of the real data beside the checkout; skips the test where it is not there."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"the real data is not beside this checkout: {path.name}")
        return path

    return find
