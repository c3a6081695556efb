"""What can be wrong with a base model or with fetching one."""

from pathlib import Path

from jobs.units import size
from storage.problems import BaseModelRefused, DiskFull, HubProblem, NotFound


class FolderMissing(BaseModelRefused):
    kind = "user_config"

    def __init__(self, folder: Path):
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        super().__init__(
            f"The base model folder '{folder}' {what}. Give the folder that holds the model's config.json."
        )


class ConfigMissing(BaseModelRefused):
    def __init__(self, model: object):
        super().__init__(
            f"'{model}' has no config.json, so it is not a model in the transformers format. "
            "Give the folder or the Hub id of a model that has one."
        )


class FileBroken(BaseModelRefused):
    def __init__(self, path: Path, reason: str):
        super().__init__(f"'{path}' cannot be used: {reason}. Copy or download the model again.")


class WeightsMissing(BaseModelRefused):
    def __init__(self, model: object, found: str = ""):
        super().__init__(
            f"'{model}' has no weights: there is no model.safetensors in it{found}. "
            "Copy or download the whole model, or choose another one."
        )


class PickleWeights(BaseModelRefused):
    def __init__(self, model: object, names: list[str]):
        super().__init__(
            f"'{model}' has its weights only as {', '.join(names)}. Such files can run code when they are opened, so "
            "they are refused. Convert the weights to safetensors (save_pretrained does that), or choose a version "
            "that has them."
        )


class CodeOfItsOwn(BaseModelRefused):
    def __init__(self, model: object, where: str):
        super().__init__(
            f"'{model}' brings code of its own ({where}), and the studio never runs code that comes with a model. "
            "Choose a model whose architecture is part of transformers."
        )


class WeightsDamaged(BaseModelRefused):
    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"The weights file '{path}' is damaged or incomplete: {reason}. Copy or download the model again."
        )


class TokenizerMissing(BaseModelRefused):
    def __init__(self, model: object):
        super().__init__(
            f"'{model}' has no tokenizer: none of tokenizer.json, tokenizer.model, vocab.txt and the like is in it. "
            "Copy the tokenizer's files beside the weights."
        )


class ChatTemplateTooLarge(BaseModelRefused):
    def __init__(self, path: Path, length: int, limit: int):
        super().__init__(
            f"The chat template in '{path}' has {length:,} bytes, and at most {limit:,} are allowed, because a "
            "template is a program that runs on every prompt. Choose another model, or shorten the template."
        )


class BaseModelUnknown(NotFound):
    """A name that is neither on the shelf, nor a folder, nor a downloaded Hub model."""


class HubIdInvalid(HubProblem):
    kind = "user_config"

    def __init__(self, hub_id: str):
        super().__init__(
            f"'{hub_id}' is not a Hub id. One looks like org/name or org/name@revision, for example "
            "sentence-transformers/all-MiniLM-L6-v2."
        )


class HubModelMissing(HubProblem):
    kind = "user_config"

    def __init__(self, hub_id: str):
        super().__init__(
            f"The Hub has no model '{hub_id}', or it is private. Check the spelling on its page; "
            "for a private model, set HF_TOKEN to a token that may read it and try again."
        )


class HubModelGated(HubProblem):
    kind = "auth_hub"

    def __init__(self, hub_id: str, endpoint: str):
        super().__init__(
            f"'{hub_id}' is gated. Accept its licence on {endpoint}/{hub_id}, set HF_TOKEN to a token of the same "
            "account, and try again."
        )


class HubTokenRefused(HubProblem):
    kind = "auth_hub"

    def __init__(self, hub_id: str, status: int):
        super().__init__(
            f"The Hub refused the access to '{hub_id}' (HTTP {status}). Check that HF_TOKEN is a valid token that may "
            "read this model, or unset it for a public one."
        )


class HubRevisionMissing(HubProblem):
    kind = "user_config"

    def __init__(self, hub_id: str, revision: str):
        super().__init__(
            f"'{hub_id}' has no revision '{revision}'. Give a branch, a tag or a commit that its page lists, "
            "or leave the revision out for the newest."
        )


class HubUnreachable(HubProblem):
    def __init__(self, endpoint: str, reason: str, kept: str = ""):
        super().__init__(
            f"{endpoint} cannot be reached ({reason}).{kept} The studio works offline with the models on the shelf; "
            "check the connection and try again for this one."
        )


class HubOffline(HubProblem):
    def __init__(self, hub_id: str):
        super().__init__(
            f"'{hub_id}' cannot be fetched because HF_HUB_OFFLINE is set. Use a model from the shelf, or unset it and "
            "try again."
        )


class HubFailed(HubProblem):
    def __init__(self, hub_id: str, endpoint: str, status: int):
        super().__init__(
            f"{endpoint} answered HTTP {status} when asked for '{hub_id}'. That is a fault on its side; try again in "
            "some minutes. What was downloaded so far is kept."
        )


class HubBusy(HubProblem):
    def __init__(self, endpoint: str, seconds: int):
        when = f"in {seconds} seconds" if seconds else "in some minutes"
        super().__init__(f"{endpoint} answered HTTP 429: it got too many requests from here. Try again {when}.")


class HubTokenMalformed(HubProblem):
    kind = "auth_hub"

    def __init__(self) -> None:
        super().__init__(
            "The Hub token holds spaces, line breaks or letters that no token has. Copy it anew from the Hub's page of "
            "access tokens, set HF_TOKEN to it and try again."
        )


class HubTokenMissing(HubProblem):
    kind = "auth_hub"

    def __init__(self, repo_id: str):
        super().__init__(
            f"Pushing to '{repo_id}' needs an access token with write permission. Make one on the Hub's page of access "
            "tokens, set HF_TOKEN to it and try again."
        )


class HubPushRefused(HubProblem):
    kind = "auth_hub"

    def __init__(self, repo_id: str, endpoint: str, status: int):
        super().__init__(
            f"{endpoint} does not let this token write to '{repo_id}' (HTTP {status}). Make a token with write permission "
            f"on the Hub's page of access tokens, check that its account belongs to '{repo_id.partition('/')[0]}', set "
            "HF_TOKEN to it and try again."
        )


class HubNameRefused(HubProblem):
    kind = "user_config"

    def __init__(self, repo_id: str, reason: str):
        super().__init__(
            f"'{repo_id}' cannot be the name of a repository on the Hub ({reason}). Choose another one, such as "
            "your-name/my-adapter, of letters, digits, '-', '_' and '.'."
        )


class HubCardRefused(HubProblem):
    kind = "user_config"

    def __init__(self, repo_id: str, reason: str):
        super().__init__(
            f"The Hub refuses the model card for '{repo_id}' ({' '.join(reason.split())}). Export the adapter as a zip, "
            "change the lines at the top of its README.md, and upload the folder on the Hub's page."
        )


class HubPushCut(HubProblem):
    def __init__(self, repo_id: str, endpoint: str, reason: str):
        super().__init__(
            f"{endpoint} cannot be reached ({reason}), so it is not known whether '{repo_id}' has the adapter now. Check the "
            "connection and push again: what is there already is not committed twice."
        )


class HubPushFailed(HubProblem):
    def __init__(self, repo_id: str, endpoint: str, status: int, said: str):
        reason = f": {' '.join(said.split())}" if said else ""
        super().__init__(
            f"{endpoint} answered HTTP {status} to the push to '{repo_id}'{reason}. Try again in some minutes; what is there "
            "already is not committed twice."
        )


class DownloadDamaged(HubProblem):
    def __init__(self, hub_id: str, name: str, reason: str):
        super().__init__(
            f"The file {name} of '{hub_id}' came damaged ({reason}) and was thrown away. Try again; the other "
            "files are kept."
        )


class NoRoomForModel(DiskFull):
    def __init__(self, hub_id: str, needed: int, free: int, floor: int, folder: Path):
        super().__init__(
            f"'{hub_id}' needs {size(needed)} more on the disk of '{folder}', which has {size(free)} free, and "
            f"{size(floor)} must stay free. Free some space, or choose a smaller model."
        )


class DiskFilled(DiskFull):
    def __init__(self, hub_id: str, folder: Path):
        super().__init__(
            f"The disk of '{folder}' became full while '{hub_id}' was being downloaded. "
            "Free some space and try again; what was downloaded so far is kept."
        )
