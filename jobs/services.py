"""What pages, commands and workers share: one place where the pieces are put together."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from jobs.forecast.process import Forecaster
from jobs.models.shelf import Shelf
from jobs.queue import Bell
from storage.checks import CheckRepository
from storage.database import open_database
from storage.judging import CertificateRepository, ComparisonRepository, RoleRepository
from storage.leases import LeaseRepository
from storage.library import AdapterRepository, DatasetRepository, DownloadRepository, WorkerRepository
from storage.queue import QueueRepository
from storage.runs import RunRepository
from storage.settings import StudioSettings
from storage.sqlite import SHORT_PATIENCE
from storage.sweeps import SweepRepository
from storage.trash import TrashRepository


@dataclass(frozen=True)
class Services:
    """Everything that remembers or rings. Cheap to make, free of torch, one per process."""

    settings: StudioSettings
    runs: RunRepository
    queue: QueueRepository
    leases: LeaseRepository
    sweeps: SweepRepository
    adapters: AdapterRepository
    datasets: DatasetRepository
    checks: CheckRepository
    trash: TrashRepository
    workers: WorkerRepository
    downloads: DownloadRepository
    comparisons: ComparisonRepository
    roles: RoleRepository
    certificates: CertificateRepository
    shelf: Shelf
    bell: Bell
    forecaster: Forecaster


def open_services(settings: StudioSettings, bell: Bell | None = None, clock: Callable[[], float] = time.time,
                  patience: float = SHORT_PATIENCE) -> Services:
    """Open the database (bringing its schema up to date), the shelf and the queue.

    `clock` dates what happens; `patience` is how many seconds a write waits for a locked database.
    """
    engine = open_database(settings, patience)
    return Services(
        settings=settings,
        runs=RunRepository(engine, clock),
        queue=QueueRepository(engine, clock),
        leases=LeaseRepository(engine, clock),
        sweeps=SweepRepository(engine, clock),
        adapters=AdapterRepository(engine),
        datasets=DatasetRepository(engine),
        checks=CheckRepository(engine),
        trash=TrashRepository(engine, clock),
        workers=WorkerRepository(engine),
        downloads=DownloadRepository(engine),
        comparisons=ComparisonRepository(engine, clock),
        roles=RoleRepository(engine, clock),
        certificates=CertificateRepository(engine),
        shelf=Shelf(settings.models_dir, {"demo-base": settings.demo_base}),
        bell=bell or Bell(settings),
        forecaster=Forecaster(),
    )
