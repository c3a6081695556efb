"""The web application: our own routes and guard, with the pages mounted below them."""

import os
import warnings
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.middleware.cors import CORSMiddleware

import studio.lean_gradio  # noqa: F401, before Gradio is imported
from jobs.export import download_name
from jobs.services import Services
from storage.problems import NotFound


def create_web_app(services: Services) -> FastAPI:
    """Everything that the browser reaches, on one application. Uploads wait inside the studio's home."""
    # read by Gradio when it is first imported
    os.environ["GRADIO_TEMP_DIR"] = str(services.settings.temporary_dir)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_DEFAULT_CONCURRENCY_LIMIT"] = "20"  # of one event function; Gradio's own 1 lets a slow page starve others
    from gradio import mount_gradio_app

    from studio.guard import Guard
    from studio.pages import build_pages
    from studio.text import CATALOGUE, say
    from studio.theme import page_head, studio_theme

    app = FastAPI(title=say("studio.name"), docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def health() -> JSONResponse:
        return JSONResponse(
            {"status": "ok", "workers": len(services.workers.alive()), "queued": len(services.runs.queued())}
        )

    @app.get("/download/{run_id}")
    def download(run_id: str):
        adapter = services.adapters.find(run_id)
        return _attachment(
            services.settings.adapters_dir,
            adapter.zip_name if adapter else None,
            download_name(adapter.name) if adapter else None,
        )

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
