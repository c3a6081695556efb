"""The part of the small Hub that serves datasets: what the datasets library and huggingface_hub 2.4 ask for."""

import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

PREFIX = "datasets/"  # of the keys of datasets among the repositories


class DatasetProtocol:
    """Mixed into the server's request handler, before the part that takes commits."""

    def serve_dataset(self, path: str) -> bool:
        """Answer a GET that is about a dataset; False where it is about something else."""
        if match := re.fullmatch(r"/api/(datasets/[^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", path):
            self._tree(match[1], match[2], match[3] or "")
            return True
        if match := re.fullmatch(r"/api/(datasets/[^/]+/[^/]+)(?:/revision/(.+))?", path):
            self.describe(match[1], match[2] or "main")
            return True
        return False

    def do_POST(self) -> None:
        match = re.fullmatch(r"/api/(datasets/[^/]+/[^/]+)/paths-info/(.+)", unquote(urlsplit(self.path).path))
        if not match:
            return super().do_POST()
        asked = parse_qs(self.read_body().decode())["paths"]
        key = self.find(match[1], match[2])
        if key is not None:
            self._list(entry for entry in self._entries(key) if entry["path"] in asked)

    def _tree(self, name: str, revision: str, folder: str) -> None:
        key = self.find(name, revision)
        if key is None:
            return
        prefix, recursive = f"{folder}/" if folder else "", "recursive=True" in self.path or "recursive=true" in self.path
        entries = [entry for entry in self._entries(key) if entry["path"].startswith(prefix)]
        if not entries:
            return self.refuse(404, "EntryNotFound", f"{folder} does not exist")
        self._list(entry for entry in entries if recursive or "/" not in entry["path"].removeprefix(prefix))

    def _entries(self, key: str) -> list[dict]:
        """All files and folders of a repository, as the Hub lists them."""
        entries = {}
        for name, path in self.hub.files(key).items():
            for parent in [*path.relative_to(self.hub.models[key]).parents][:-1]:
                entries[parent.as_posix()] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": parent.as_posix()}
            entries[name] = {"type": "file", "oid": self.hub.hashes(path)[1], "size": path.stat().st_size, "path": name}
        return list(entries.values())

    def _list(self, entries) -> None:
        self.answer(200, json.dumps(list(entries)).encode(), {"Content-Type": "application/json"})
