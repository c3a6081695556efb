"""serve and worker: the two processes that stay."""

import gc
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Annotated

import typer

from commands.console import out
from storage.settings import REPOSITORY, StudioSettings

WORKER_DELAY = 2  # seconds

app = typer.Typer()


@app.command()
def serve(with_worker: Annotated[bool, typer.Option("--with-worker", help="Start a worker beside the page.")] = False) -> None:
    """Serve the page, until Ctrl-C."""
    settings = StudioSettings.from_env()
    # uvicorn passes the signal on once it has closed; SIGTERM's own default would end us with the worker still there
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workers: list[subprocess.Popen] = []
    # later, since its imports would take the cores that the page needs to come up
    soon = threading.Timer(WORKER_DELAY, lambda: workers.append(start_worker(settings)))

    def ready() -> None:
        out.print(f"Adapter Studio is ready: [bold]http://{settings.host}:{settings.port}[/bold]   (Ctrl-C stops it)")
        if with_worker:
            soon.start()

    try:
        serve_page(settings, ready)
    except KeyboardInterrupt:
        out.print("Stopping. A run in progress saves its state and goes on at the next start." if workers else "Stopping.")
    finally:
        soon.cancel()
        for worker in workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGINT)
                worker.wait()


def serve_page(settings: StudioSettings, ready: Callable[[], None]) -> None:
    """The web process: quick to start, free of torch. Calls `ready` once it answers; ends with KeyboardInterrupt."""
    gc.disable()  # imports make a million objects that all stay; looking through them again and again takes 0.3 s
    import uvicorn

    from jobs.services import open_services
    from studio.web import create_web_app

    web = create_web_app(open_services(settings))

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            gc.freeze()
            gc.enable()
            if self.started:
                ready()

        async def shutdown(self, sockets=None):
            # an open page holds a stream open; that it is cut off now is no error to report
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    Server(uvicorn.Config(web, host=settings.host, port=settings.port, log_level="warning", timeout_graceful_shutdown=1)).run()


@app.command()
def worker() -> None:
    """Work through the queue, until Ctrl-C (runs pause at a checkpoint) or SIGTERM (runs go on by themselves)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the worker answers it: an import may swallow KeyboardInterrupt
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("huey").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from jobs.worker import Worker

    Worker(StudioSettings.from_env()).run()


def start_worker(settings: StudioSettings) -> subprocess.Popen:
    """A worker of our own; in its own session, so that a Ctrl-C meant for us does not reach it twice."""
    settings.make_folders()
    with (settings.logs_dir / "worker.log").open("a") as log:
        return subprocess.Popen([sys.executable, str(REPOSITORY / "app.py"), "worker"], start_new_session=True,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
