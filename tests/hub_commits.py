"""The part of the small Hub that takes commits, as huggingface_hub 2.4 sends them: small files inside the commit, large
ones before it to another host by the LFS protocol."""

import base64
import hashlib
import json
import re
from urllib.parse import unquote, urlsplit


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


class CommitProtocol:
    """Mixed into the server's request handler."""

    def do_POST(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self.read_body()
        if match := re.fullmatch(r"/api/lfs-verify/([0-9a-f]{64})", path):
            return self.answer(200 if match[1] in self.hub.large else 404, b"{}", {})
        if not self.has_token():
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        if path == "/api/validate-yaml":
            return self._validate_card()
        if self._token() in self.hub.readers:
            return self.refuse(403, "", "You don't have the rights to do this.")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            return self._preupload(match[1], json.loads(body))
        if match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            return self._commit(match[1], [json.loads(line) for line in body.splitlines()])
        self.refuse(404, "", "No such page.")

    def do_PUT(self) -> None:
        body = self.read_body()
        oid = urlsplit(self.path).path.removeprefix("/large/")
        if self.headers.get("Authorization"):
            return self.refuse(400, "", "The storage takes no token.")
        if hashlib.sha256(body).hexdigest() != oid:
            return self.refuse(400, "", "The content has another hash.")
        self.hub.large[oid] = body
        self.answer(200, b"", {"ETag": f'"{oid}"'})

    def read_body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError("the request was cut")
        return body

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _validate_card(self) -> None:
        problems = [{"message": self.hub.card_problem}] if self.hub.card_problem else []
        self._json(400 if problems else 200, {"errors": problems, "warnings": []})

    def _create(self, asked: dict) -> None:
        model = f"{asked['organization']}/{asked['name']}"
        if asked["name"].startswith("reserved"):
            return self.refuse(400, "", "This name is reserved.")
        address = f"http://{self.headers['Host']}/{model}"
        with self.hub.writing:
            if f"{model}@main" in self.hub.models:
                return self._json(409, {"error": "You already created this model repo", "url": address})
            self.hub.create(model, asked.get("visibility") == "private")
        self._json(200, {"url": address, "name": model})

    def _preupload(self, model: str, asked: dict) -> None:
        there = self.hub.files(f"{model}@main")
        files = []
        for file in asked["files"]:
            name, large = file["path"], is_large(file["path"])
            oid = self.hub.hashes(there[name])[0 if large else 1] if name in there else None
            files.append({"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid})
        self._json(200, {"files": files, "commitOid": self.hub.commit(model)})

    def _batch(self, asked: dict) -> None:
        objects = []
        for wanted in asked["objects"]:
            actions = {"upload": {"href": f"{self.elsewhere}/large/{wanted['oid']}"},
                       "verify": {"href": f"http://{self.headers['Host']}/api/lfs-verify/{wanted['oid']}"}}
            objects.append({**wanted, **({} if wanted["oid"] in self.hub.large else {"actions": actions})})
        self._json(200, {"transfer": "basic", "objects": objects})

    def _commit(self, model: str, lines: list[dict]) -> None:
        header = next(line["value"] for line in lines if line["key"] == "header")
        with self.hub.writing:
            if header.get("parentCommit", self.hub.commit(model)) != self.hub.commit(model):
                return self.refuse(412, "", "A commit has happened since. Please refresh and try again.")
            folder = self.hub.models[f"{model}@main"]
            for line in lines:
                if line["key"] == "file":
                    (folder / line["value"]["path"]).write_bytes(base64.b64decode(line["value"]["content"]))
                elif line["key"] == "lfsFile":
                    (folder / line["value"]["path"]).write_bytes(self.hub.large[line["value"]["oid"]])
            self.hub.commits[model].append(header["summary"])
        oid = self.hub.commit(model)
        self._json(200, {"success": True, "commitOid": oid, "commitUrl": f"http://{self.headers['Host']}/{model}/commit/{oid}"})

    def _json(self, status: int, content: dict) -> None:
        self.answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})
