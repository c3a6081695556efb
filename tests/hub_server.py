"""A small Hub on this machine: enough of its protocol for the real huggingface_hub, with faults on request.

    with HubServer({"tiny/llama": folder, "tiny/llama@v1": older_folder}, gated=["tiny/gated"]) as hub:
        os.environ["HF_ENDPOINT"] = hub.url

Folders are read at each request, so a changed file makes a new commit, as a push would.
"""

import hashlib
import io
import itertools
import json
import re
import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from tests.hub_commits import CommitProtocol, is_large
from tests.hub_datasets import PREFIX, DatasetProtocol

CHUNK = 16 * 1024


@dataclass(frozen=True)
class Request:
    """What the server was asked, for tests to look at."""

    method: str
    path: str
    host: str
    range: str | None
    authorization: str | None
    status: int


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request. Without a status, the connection breaks without an answer."""

    status: int = 0
    retry_after: int = 0  # seconds
    stall: float = 0  # seconds without a byte, before anything else
    acts: bool = False  # whether the server does what was asked before the connection breaks


class HubServer:
    """Serves folders as model repositories. Its attributes can be changed while it runs.

    datasets: the same for dataset repositories; elsewhere their ids have "datasets/" before them.
    gated: ids whose files need a token of `tokens`; private: ids that do not show without one.
    cut_after: bytes of file content after which every connection breaks, as a network does that goes away; None: never.
    bytes_per_second: how slowly file content comes; None: at once.
    fail_with: an HTTP status that every request gets; None: no fault.
    damage: file names whose content has one bit flipped on the way.
    faults: what goes wrong with single requests, by their number since the last `count_anew`.
    readers: tokens that may read only. card_problem: why the metadata of a README is refused; None: it is fine.
    """

    def __init__(
        self,
        models: Mapping[str, Path],
        gated: Iterable[str] = (),
        private: Iterable[str] = (),
        tokens: Iterable[str] = ("hf_good",),
        bytes_per_second: float | None = None,
        datasets: Mapping[str, Path] = MappingProxyType({}),
    ):
        repositories = {**models, **{PREFIX + key: folder for key, folder in datasets.items()}}
        self.models = {key if "@" in key else f"{key}@main": Path(folder) for key, folder in repositories.items()}
        self.gated, self.private, self.tokens = set(gated), set(private), set(tokens)
        self.bytes_per_second = bytes_per_second
        self.cut_after: int | None = None
        self.fail_with: int | None = None
        self.damage: set[str] = set()
        self.faults: dict[int, Fault] = {}
        self.readers: set[str] = set()
        self.card_problem: str | None = None
        self.commits: dict[str, list[str]] = {}  # of repositories that were made here: what each commit says
        self.large: dict[str, bytes] = {}  # uploaded contents by their SHA-256
        self.writing = threading.Lock()
        self._numbers = itertools.count()
        self.requests: list[Request] = []
        self._hashes: dict[tuple[str, int, int], tuple[str, str]] = {}
        self._budget = threading.Lock()

    def __enter__(self) -> "HubServer":
        handler = type("HubHandler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._store = tempfile.TemporaryDirectory()
        self.closing = threading.Event()
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._store.cleanup()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count_anew(self) -> None:
        """The next request has number 0."""
        self._numbers = itertools.count()

    def next_fault(self) -> Fault | None:
        return self.faults.get(next(self._numbers))

    def create(self, model: str, private: bool) -> None:
        """Make an empty repository, with the file that the Hub puts into each."""
        folder = Path(self._store.name) / model
        folder.mkdir(parents=True)
        (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
        self.models[f"{model}@main"], self.commits[model] = folder, []
        if private:
            self.private.add(model)

    def commit(self, model: str, revision: str = "main") -> str:
        """The commit hash that a branch or tag points to."""
        files = [(name, self.hashes(path)[0]) for name, path in self.files(f"{model}@{revision}").items()]
        return hashlib.sha1(repr((model, files, len(self.commits.get(model, [])))).encode()).hexdigest()

    def find(self, model: str, revision: str) -> str | None:
        """The "id@revision" key that a revision name or a commit means."""
        keys = [key for key in self.models if key.partition("@")[0] == model]
        for key in keys:
            name = key.partition("@")[2]
            if revision in (name, self.commit(model, name)):
                return key
        return None

    def files(self, key: str) -> dict[str, Path]:
        folder = self.models[key]
        return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def hashes(self, path: Path) -> tuple[str, str]:
        """SHA-256 of the content, and git's hash of it."""
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns)
        if key not in self._hashes:
            content = path.read_bytes()
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            self._hashes[key] = (hashlib.sha256(content).hexdigest(), git)
        return self._hashes[key]

    def gets(self, name: str) -> list[Request]:
        """The GET requests that were answered with content of the file."""
        return [
            request for request in self.requests
            if request.method == "GET" and request.path.endswith(f"/{name}") and request.status in (200, 206)
        ]  # fmt: skip

    def take(self, count: int) -> int:
        """How many of the next bytes may still be sent."""
        with self._budget:
            if self.cut_after is None:
                return count
            allowed = min(count, self.cut_after)
            self.cut_after -= allowed
            return allowed


class _Handler(DatasetProtocol, CommitProtocol, BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every small answer waits 40 ms

    def log_message(self, *_) -> None:
        """Say nothing; `hub.requests` remembers."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True  # the client went away, as some tests mean it to

    def parse_request(self) -> bool:
        """As the base class does; then the request's own fault, if it has one."""
        if not super().parse_request():
            return False
        fault = self.hub.next_fault()
        if fault is None:
            return True
        if fault.status:
            self.read_body()
            wait = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
            self.refuse(fault.status, "", "Something is wrong.", wait)
            return False
        if fault.stall:
            self.hub.closing.wait(fault.stall)
        if not fault.acts:
            self.close_connection = True
            return False
        self.wfile = io.BytesIO()  # the answer is lost on the way
        return True

    def handle_one_request(self) -> None:
        super().handle_one_request()
        if isinstance(self.wfile, io.BytesIO):
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.hub.fail_with:
            return self.refuse(self.hub.fail_with, "", "Something is wrong with the server.")
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self.describe(match[1], match[2] or "main")
        if self.serve_dataset(path):
            return
        if match := re.fullmatch(r"/(cdn/)?((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(match[2], match[3], match[4], from_cdn=bool(match[1]))
        self.refuse(404, "", "No such page.")

    def describe(self, model: str, revision: str) -> None:
        key = self.find(model, revision)
        if key is None:
            return
        siblings, name = [], model.removeprefix(PREFIX)
        for file, path in self.hub.files(key).items():
            sha256, git = self.hub.hashes(path)
            size = path.stat().st_size
            large = {"lfs": {"sha256": sha256, "size": size, "pointerSize": 134}} if is_large(file) else {}
            siblings.append({"rfilename": file, "size": size, "blobId": git, **large})
        content = {
            "_id": "0", "id": name, "modelId": name, "sha": self.hub.commit(model, key.partition("@")[2]),
            "private": model in self.hub.private, "gated": "manual" if model in self.hub.gated else False,
            "disabled": False, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings,
        }  # fmt: skip
        self.answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _resolve(self, model: str, revision: str, name: str, from_cdn: bool) -> None:
        key = self.find(model, revision, trusted=from_cdn)
        if key is None:
            return
        if model in self.hub.gated and not from_cdn and not self.has_token():
            status = 403 if self.headers.get("Authorization") else 401
            return self.refuse(status, "GatedRepo", f"Access to model {model} is restricted.")
        path = self.hub.files(key).get(name)
        if path is None:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        sha256, git = self.hub.hashes(path)
        headers = {
            "X-Repo-Commit": self.hub.commit(model, key.partition("@")[2]), "Accept-Ranges": "bytes",
            "ETag": f'"{sha256 if is_large(name) else git}"',
        }  # fmt: skip
        if is_large(name) and not from_cdn:
            # The real Hub keeps large files on another host, which must not see the token.
            headers |= {
                "X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(path.stat().st_size),
                "Location": f"{self.elsewhere}/cdn/{model}/resolve/{revision}/{name}",
            }  # fmt: skip
            return self.answer(302, b"", headers)
        self._send_file(path, name, headers)

    def find(self, model: str, revision: str, trusted: bool = False) -> str | None:
        """The repository's key, or None once the refusal is sent."""
        known = any(key.partition("@")[0] == model for key in self.hub.models)
        if not known or (model in self.hub.private and not trusted and not self.has_token()):
            self.refuse(404 if self.has_token() else 401, "RepoNotFound", "Repository not found")
            return None
        key = self.hub.find(model, revision)
        if key is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return key

    @property
    def elsewhere(self) -> str:
        """The same server under another name, as the Hub has for large files; at the port of a proxy in between."""
        return f"http://localhost:{self.headers['Host'].rpartition(':')[2]}"

    def has_token(self) -> bool:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") in self.hub.tokens

    def _send_file(self, path: Path, name: str, headers: dict[str, str]) -> None:
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        begin = int(asked[1]) if asked else 0
        end = min(int(asked[2] or size - 1), size - 1) if asked else size - 1
        if asked and begin >= size:
            return self.answer(416, b"", {"Content-Range": f"bytes */{size}"})
        if asked:
            headers = {**headers, "Content-Range": f"bytes {begin}-{end}/{size}"}
        self._start(206 if asked else 200, end - begin + 1, headers)
        if self.command == "HEAD":
            return
        with path.open("rb") as file:
            file.seek(begin)
            left = end - begin + 1
            while left:
                block = file.read(min(CHUNK, left))
                if name in self.hub.damage:
                    block = block[:-1] + bytes([block[-1] ^ 1])
                allowed = self.hub.take(len(block))
                self.wfile.write(block[:allowed])
                if allowed < len(block):
                    self.close_connection = True
                    return
                left -= len(block)
                if self.hub.bytes_per_second:
                    self.hub.closing.wait(len(block) / self.hub.bytes_per_second)

    def refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        headers = {**headers, **({"X-Error-Code": code, "X-Error-Message": message} if code else {})}
        self.answer(status, json.dumps({"error": message}).encode(), {**headers, "Content-Type": "application/json"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._start(status, len(body), headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _start(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.hub.requests.append(
            Request(self.command, urlsplit(self.path).path, self.headers.get("Host", ""), self.headers.get("Range"),
                    self.headers.get("Authorization"), status)
        )  # fmt: skip
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()
