"""What pages, commands and workers share: one place where the pieces are put together."""

from dataclasses import dataclass

from jobs.models.shelf import Shelf
from jobs.queue import Bell
from storage.database import open_database
from storage.library import AdapterRepository, DatasetRepository, DownloadRepository, WorkerRepository
from storage.runs import RunRepository
from storage.settings import StudioSettings


@dataclass(frozen=True)
class Services:
    """Everything that remembers or rings. Cheap to make, free of torch, one per process."""

    settings: StudioSettings
    runs: RunRepository
    adapters: AdapterRepository
    datasets: DatasetRepository
    workers: WorkerRepository
    downloads: DownloadRepository
    shelf: Shelf
    bell: Bell


def open_services(settings: StudioSettings, bell: Bell | None = None) -> Services:
    """Open the database (bringing its schema up to date), the shelf and the queue."""
    engine = open_database(settings)
    return Services(
        settings=settings,
        runs=RunRepository(engine),
        adapters=AdapterRepository(engine),
        datasets=DatasetRepository(engine),
        workers=WorkerRepository(engine),
        downloads=DownloadRepository(engine),
        shelf=Shelf(settings.models_dir, {"demo-base": settings.demo_base}),
        bell=bell or Bell(settings),
    )
