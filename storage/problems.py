"""Known problems. Each says what happened, to which value, and what to do next; anything else is a bug with a traceback."""


class StudioError(Exception):
    """A problem that a person can act on. `kind` is the class of failure that a run records."""

    kind = "user_config"


class RecipeInvalid(StudioError):
    """Everything that is wrong with a recipe, at once."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("\n".join(problems))


class DataInvalid(StudioError):
    """A dataset that cannot be used as it is."""

    kind = "data_invalid"


class BaseModelRefused(StudioError):
    """A base model that is damaged, incomplete or unsafe to load."""

    kind = "artefact_corrupt"


class HubProblem(StudioError):
    """The Hub did not give what was asked for."""

    kind = "network"


class DiskFull(StudioError):
    """Too little free disk space to go on."""

    kind = "disk_full"


class NotFound(StudioError):
    """Something was asked for by a name or an id that nothing has."""


class ArtefactCorrupt(StudioError):
    """A file is not what its record says: damaged, cut short or changed."""

    kind = "artefact_corrupt"


class CannotContinue(StudioError):
    """A run from which no other run can go on."""


class NotWaiting(StudioError):
    """Only a waiting run can be moved, held or given another device."""


class InUse(StudioError):
    """A run, an adapter or a dataset cannot be deleted while runs that wait or train need it."""

    def __init__(self, kind: str, needed_by: list[tuple[str, str]]):
        thing = {"run": "This run", "adapter": "This adapter", "dataset": "This data"}[kind]
        runs = " and ".join(f"the {'waiting' if state == 'queued' else 'running'} run '{name}'" for name, state in needed_by[:3])
        more = f" and {len(needed_by) - 3} more" if len(needed_by) > 3 else ""
        super().__init__(f"{thing} is needed by {runs}{more}. Cancel what needs it, or wait for its end.")


class DatabaseBusy(StudioError):
    """Another program kept the database to itself for longer than we wait."""

    kind = "timeout"

    def __init__(self, seconds: float):
        super().__init__(f"Another program has kept the database locked for {seconds:g} s, so nothing could be stored. Try again; "
                         "if it stays so, look for a backup or a database tool that has studio.db open, and close it.")


class DatabaseDamaged(StudioError):
    """A page of the database's file is not what SQLite wrote."""

    kind = "artefact_corrupt"

    def __init__(self, path: object, found: str):
        super().__init__(f"The database {path} is damaged ({found}). Stop the studio, keep a copy of the file, and put back a "
                         f"backup, or save what can be read: sqlite3 {path} .recover | sqlite3 saved.db")


class DatabaseOnNetwork(StudioError):
    """The database lies where its locks cannot be trusted."""

    def __init__(self, path: object, mount: object, kind: str):
        super().__init__(f"The database {path} lies on a network drive ({mount}, {kind}), where it can be damaged. Set STUDIO_HOME "
                         "or STUDIO_DATABASE_URL to a place on a disk of this machine.")


class SettingInvalid(StudioError):
    """A setting from the environment that the studio cannot use."""


class TrainingStopped(StudioError):
    """Training could not go on; the message gives the reason."""


class LossDiverged(TrainingStopped):
    """The loss became infinite or not a number."""
