"""Large uploads: the parts of the tus protocol (1.0.0, https://tus.io) that a page needs to send a file in pieces.

POST /uploads begins one, HEAD tells how much has come, PATCH brings the next piece, DELETE throws it away.
"""

import asyncio
import base64
import binascii

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from jobs.resumable import (
    ResumableUploads,
    UploadBusy,
    UploadElsewhere,
    UploadGone,
    UploadKindRefused,
    UploadTooLarge,
    UploadWriter,
)
from jobs.services import Services
from storage.problems import DiskFull, StudioError
from studio.text import say

VERSION = "1.0.0"
PIECE_TYPE = "application/offset+octet-stream"
STALL_SECONDS = 30  # without a byte, after which a connection counts as gone and another one may go on
BLOCK = 1 << 20  # bytes that are written at once
STATUS = {UploadTooLarge: 413, UploadKindRefused: 415, UploadGone: 404, UploadBusy: 423, UploadElsewhere: 409, DiskFull: 507}


def upload_router(services: Services) -> APIRouter:
    """The routes under /uploads."""
    router = APIRouter()
    uploads = ResumableUploads(services)

    @router.options("/uploads")
    def describe() -> Response:
        limit = str(services.settings.upload_limit)
        return _answer(204, {"Tus-Version": VERSION, "Tus-Extension": "creation,termination", "Tus-Max-Size": limit})

    @router.post("/uploads")
    def create(request: Request) -> Response:
        def begin() -> Response:
            length = _number(request, "Upload-Length")
            if length is None:
                return _answer(400, text=say("upload.no_length"))
            upload = uploads.create(_file_name(request), length)
            return _answer(201, {"Location": f"/uploads/{upload.id}", "Upload-Offset": "0"})

        return _explained(request, begin)

    @router.head("/uploads/{id}")
    def tell(request: Request, id: str) -> Response:
        def find() -> Response:
            upload = uploads.find(id)
            return _answer(200, {"Upload-Offset": str(upload.offset), "Upload-Length": str(upload.length)})

        return _explained(request, find)

    @router.delete("/uploads/{id}")
    def remove(request: Request, id: str) -> Response:
        def remove_it() -> Response:
            uploads.remove(id)
            return _answer(204)

        return _explained(request, remove_it)

    @router.patch("/uploads/{id}")
    async def append(request: Request, id: str) -> Response:
        if problem := _version_problem(request):
            return problem
        offset = _number(request, "Upload-Offset")
        if request.headers.get("Content-Type") != PIECE_TYPE or offset is None:
            return _answer(415 if offset is not None else 400, text=say("upload.no_piece", type=PIECE_TYPE))
        try:
            writer = await run_in_threadpool(uploads.open, id, offset, _number(request, "Content-Length") or 0)
            try:
                await _write(request, writer)
            finally:
                await run_in_threadpool(writer.close)
        except StudioError as problem:
            return _refused(problem)
        except (ClientDisconnect, TimeoutError):
            return _answer(400, text=say("upload.cut"))  # nobody hears it; what has come is kept
        return _answer(204, {"Upload-Offset": str(writer.offset)})

    return router


async def _write(request: Request, writer: UploadWriter) -> None:
    """The body as it comes, a block at a time, so that never more than a block is held; what comes before a cut counts too."""
    block, stream = bytearray(), request.stream()
    try:
        while True:
            try:
                block += await asyncio.wait_for(anext(stream), STALL_SECONDS)
            except StopAsyncIteration:
                return
            if len(block) >= BLOCK:
                content, block = bytes(block), bytearray()
                await run_in_threadpool(writer.write, content)
    finally:
        if block:
            await run_in_threadpool(writer.write, bytes(block))


def _explained(request: Request, step) -> Response:
    if problem := _version_problem(request):
        return problem
    try:
        return step()
    except StudioError as problem:
        return _refused(problem)


def _refused(problem: StudioError) -> Response:
    return _answer(next((status for kind, status in STATUS.items() if isinstance(problem, kind)), 400), text=str(problem))


def _version_problem(request: Request) -> Response | None:
    if request.headers.get("Tus-Resumable") == VERSION:
        return None
    return _answer(412, {"Tus-Version": VERSION}, say("upload.version", version=VERSION))


def _answer(status: int, headers: dict[str, str] | None = None, text: str = "") -> Response:
    return Response(text, status, {"Tus-Resumable": VERSION, "Cache-Control": "no-store", **(headers or {})},
                    "text/plain; charset=utf-8" if text else None)


def _number(request: Request, header: str) -> int | None:
    """A header's whole number; None where it has none."""
    value = request.headers.get(header, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None


def _file_name(request: Request) -> str:
    """The `filename` among the metadata, which are pairs of a key and a value in base64."""
    for pair in request.headers.get("Upload-Metadata", "").split(","):
        key, _, value = pair.strip().partition(" ")
        if key == "filename":
            try:
                return base64.b64decode(value, validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return ""
