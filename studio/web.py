"""The web application: our own routes and guard, with the pages mounted below them."""

import os
import warnings
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.middleware.cors import CORSMiddleware

from jobs.data.exporting import MEDIA_TYPES, Export
from jobs.export import checked_zip, download_name
from jobs.judging.export import FORMATS, export
from jobs.services import Services
from jobs.uploads import checked_paths, find_dataset
from jobs.versions import export_name
from storage.problems import ArtefactCorrupt, NotFound, StudioError
from studio.lean_gradio import read_signatures_once  # before Gradio is imported


def create_web_app(services: Services) -> FastAPI:
    """Everything that the browser reaches, on one application. Uploads wait inside the studio's home."""
    # read by Gradio when it is first imported
    os.environ["GRADIO_TEMP_DIR"] = str(services.settings.temporary_dir)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_DEFAULT_CONCURRENCY_LIMIT"] = "20"  # of one event function; Gradio's own 1 lets a slow page starve others
    from gradio import mount_gradio_app

    read_signatures_once()
    from studio.guard import Guard
    from studio.pages import build_pages
    from studio.text import CATALOGUE, say
    from studio.theme import page_head, studio_theme
    from studio.upload_routes import upload_router

    app = FastAPI(title=say("studio.name"), docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def health() -> JSONResponse:
        return JSONResponse(
            {"status": "ok", "workers": len(services.workers.alive()), "queued": services.queue.count()}
        )

    @app.get("/download/{run_id}")
    def download(run_id: str):
        adapter = services.adapters.find(run_id)
        if adapter is None:
            return _attachment(services.settings.adapters_dir, None)
        try:
            checked_zip(services, adapter)
        except ArtefactCorrupt as problem:
            return PlainTextResponse(str(problem), 500)
        except NotFound as problem:
            return PlainTextResponse(str(problem), 404)
        return _attachment(services.settings.adapters_dir, adapter.zip_name, download_name(adapter.name))

    @app.get("/data/{dataset_id}/export")
    def export_data(dataset_id: str, format: str = "jsonl"):
        try:
            if (dataset := find_dataset(services, dataset_id)) is None:
                return PlainTextResponse(say("download.gone"), 404)
            parts = Export(checked_paths(services, dataset), format).parts()
            first = next(parts)  # here, so that a problem at the beginning is told in words
        except StudioError as problem:
            return PlainTextResponse(str(problem), 404 if isinstance(problem, NotFound) else 400)
        name = quote(export_name(dataset, format))
        return StreamingResponse(chain([first], parts), media_type=MEDIA_TYPES[format],
                                 headers={"Content-Disposition": f"attachment; filename*=UTF-8''{name}"})

    @app.get("/comparisons/export")
    def export_comparisons(format: str = "csv", base: str = ""):
        if format not in FORMATS:
            return PlainTextResponse(say("comparisons.no_format", format=format, formats=", ".join(FORMATS)), 400)
        name = quote(f"{say('comparisons.export_name', base=base)}.{format}" if base else f"comparisons.{format}", safe="")
        return Response(export(services.comparisons.all(base), format), media_type=MEDIA_TYPES[format],
                        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{name}"})

    @app.get("/log/{run_id}")
    def log(run_id: str):
        try:
            run = services.runs.get(run_id)
        except NotFound:
            return _attachment(services.settings.runs_dir, None)
        return _attachment(services.settings.runs_dir, f"{run.id}/log.txt", f"{run.name} log.txt")

    def _attachment(folder: Path, name: str | None, title: str | None = None):
        path = folder / name if name else None
        if path is None or not path.is_file():
            return PlainTextResponse(say("download.gone"), 404)
        return FileResponse(path, filename=title or path.name)

    app.include_router(upload_router(services))

    kept = [str(services.settings.home / name) for name in ("uploads", "runs", "adapters", "models", "logs")]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode")  # said of every app with several pages, also where it is off
        mount_gradio_app(
            app,
            build_pages(services),
            "/",
            show_error=False,
            max_file_size=services.settings.upload_limit,
            run_history=False,
            footer_links=[],
            mcp_server=False,
            pwa=False,
            ssr_mode=False,
            enable_monitoring=False,
            i18n=CATALOGUE,
            theme=studio_theme(),
            head=page_head(),
            allowed_paths=[],
            blocked_paths=kept,
        )
    app.add_middleware(CORSMiddleware, allow_origins=[])
    app.add_middleware(Guard, settings=services.settings)
    return app
