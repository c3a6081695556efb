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


class SettingInvalid(StudioError):
    """A setting from the environment that the studio cannot use."""


class TrainingStopped(StudioError):
    """Training could not go on; the message gives the reason."""


class LossDiverged(TrainingStopped):
    """The loss became infinite or not a number."""


class OutOfMemory(TrainingStopped):
    """The device had no memory left."""

    kind = "gpu_oom"
