"""What can be wrong with fetching a dataset from the Hub."""

from storage.problems import HubProblem

NAMED = 12  # configs, splits or files that a sentence lists


class HubDataMissing(HubProblem):
    kind = "user_config"

    def __init__(self, hub_id: str):
        super().__init__(f"The Hub has no dataset '{hub_id}', or it is private, and there is no file or folder of that name here. "
                         "Check the spelling; for a private dataset, set HF_TOKEN to a token that may read it and try again.")


class HubDataGated(HubProblem):
    kind = "auth_hub"

    def __init__(self, hub_id: str, endpoint: str):
        super().__init__(f"The dataset '{hub_id}' is gated. Accept its terms on {endpoint}/datasets/{hub_id}, set HF_TOKEN to a "
                         "token of the same account, and try again.")


class HubDataRefused(HubProblem):
    kind = "auth_hub"

    def __init__(self, hub_id: str, endpoint: str, status: int):
        super().__init__(f"{endpoint} refused the access to the dataset '{hub_id}' (HTTP {status}). Check that HF_TOKEN is a valid "
                         "token that may read it, or unset it for a public one.")


class HubDataRevisionMissing(HubProblem):
    kind = "user_config"

    def __init__(self, hub_id: str, revision: str):
        super().__init__(f"The dataset '{hub_id}' has no revision '{revision}'. Give a branch, a tag or a commit that its page "
                         "lists, or leave the revision out for the newest.")


class HubDataUnreachable(HubProblem):
    def __init__(self, endpoint: str, reason: str):
        super().__init__(f"{endpoint} cannot be reached ({reason}). Data that is in the studio can be used without it; check the "
                         "connection and try again for this dataset. What has come of it is kept.")


class HubDataOffline(HubProblem):
    def __init__(self, reference: str):
        super().__init__(f"'{reference}' cannot be fetched from the Hub because HF_HUB_OFFLINE is set. Upload a file, take data "
                         "that is in the studio, or unset it and try again.")


class HubDataFailed(HubProblem):
    def __init__(self, hub_id: str, endpoint: str, status: int):
        super().__init__(f"{endpoint} answered HTTP {status} when asked for the dataset '{hub_id}'. That is a fault on its side; "
                         "try again in some minutes. What has come is kept.")


class HubPartUnknown(HubProblem):
    """A config or a split that a dataset lacks, or one that has to be named."""

    kind = "user_config"

    def __init__(self, hub_id: str, what: str, asked: str, names: list[str], config: str):
        first = f"{hub_id}:{config}:{names[0]}" if what == "split" and names else f"{hub_id}:{names[0]}:train" if names else hub_id
        lacks = f"has no {what} '{asked}'" if asked else f"has several {what}s"
        super().__init__(f"The dataset '{hub_id}' {lacks}; it has {_listed(names)}. Name one, for example {first}.")


class HubDataWithCode(HubProblem):
    kind = "user_config"

    def __init__(self, hub_id: str):
        super().__init__(f"The dataset '{hub_id}' is made by a program of its own, and the studio never runs code that comes with "
                         "data. Choose a dataset of plain files, or a revision of this one that has them, such as "
                         f"{hub_id}@refs/convert/parquet.")


class HubDataWithoutFiles(HubProblem):
    kind = "user_config"

    def __init__(self, hub_id: str, others: list[str]):
        found = f"it has {_listed(others)}" if others else "no data file was found in it"
        super().__init__(f"The dataset '{hub_id}' does not consist of files that can be read here: {found}. Choose another split "
                         "or dataset, of CSV, JSON, JSONL, Parquet or text files.")


class HubDataBroken(HubProblem):
    def __init__(self, hub_id: str, detail: str):
        said = " ".join(detail.split())[:300].rstrip(".")
        super().__init__(f"What the dataset '{hub_id}' consists of could not be worked out: {said}. Download its files from the "
                         "Hub's page and upload them here.")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
