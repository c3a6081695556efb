import shutil
import subprocess
import sys

import pytest

from jobs.models.hub import download
from jobs.models.problems import BaseModelUnknown, CodeOfItsOwn, FolderMissing, HubUnreachable
from jobs.models.shelf import Shelf


@pytest.fixture
def shelf(llama_once, tmp_path):
    models_dir = tmp_path / "studio-models"
    models_dir.mkdir()
    return Shelf(models_dir, {"demo-base": llama_once})


def fetch(shelf, hub_id="tiny/llama", **options):
    return download(hub_id, shelf.models_dir, retry_waits=(), keep_free=0, **options)


def test_an_empty_home_still_has_the_built_in_model(llama_once, tmp_path):
    (entry,) = Shelf(tmp_path / "nothing", {"demo-base": llama_once}).list()
    assert (entry.name, entry.path, entry.problem) == ("demo-base", llama_once, None)
    assert entry.facts.layers == 3


def test_folders_that_are_put_linked_or_added_are_on_the_shelf(shelf, llama, llama_once, tmp_path):
    shutil.copytree(llama_once, shelf.models_dir / "copied")
    (shelf.models_dir / "linked").symlink_to(shutil.copytree(llama_once, tmp_path / "somewhere"))
    added = shelf.add_folder(llama)
    shelf.add_folder(llama)
    assert [entry.name for entry in shelf.list()] == ["demo-base", "copied", "linked", "tiny-llama"]
    assert added in shelf.list()
    assert Shelf(shelf.models_dir, {}).resolve("tiny-llama").path == llama


def test_a_model_that_cannot_be_used_is_listed_with_the_reason(shelf, llama):
    shelf.add_folder(llama)
    (llama / "evil.py").touch()
    entry = shelf.list()[-1]
    assert entry.facts is None and "code of its own (evil.py)" in entry.problem
    shutil.rmtree(llama)
    assert "does not exist" in shelf.list()[-1].problem


def test_a_folder_that_cannot_be_used_is_not_added(shelf, llama):
    (llama / "evil.py").touch()
    with pytest.raises(CodeOfItsOwn):
        shelf.add_folder(llama)
    assert [entry.name for entry in shelf.list()] == ["demo-base"]


def test_two_folders_of_the_same_name_stay_apart(shelf, llama_once, tmp_path):
    for parent in "ab":
        shelf.add_folder(shutil.copytree(llama_once, tmp_path / parent / "mine"))
    names = [entry.name for entry in shelf.list()]
    assert names == ["demo-base", "mine", str(tmp_path / "b" / "mine")]
    assert shelf.resolve(names[2]).path == tmp_path / "b" / "mine"


def test_a_finished_download_is_on_the_shelf_and_a_half_one_is_not(shelf, hub):
    hub.cut_after = 100_000
    with pytest.raises(HubUnreachable):
        fetch(shelf)
    assert [entry.name for entry in shelf.list()] == ["demo-base"]
    hub.cut_after = None
    folder = fetch(shelf)
    entry = shelf.list()[-1]
    assert (entry.name, entry.path, entry.source) == ("tiny/llama", folder, "hub")
    assert (entry.hub_id, entry.revision) == ("tiny/llama", hub.commit("tiny/llama"))


def test_a_hub_id_means_its_newest_download_and_a_revision_that_very_one(shelf, hub, llama, llama_once):
    hub.models["tiny/llama@v1"] = llama_once
    (llama / "README.md").write_text("a newer version")
    old, new = fetch(shelf, revision="v1"), fetch(shelf)
    assert [entry.name for entry in shelf.list()][1:] == ["tiny/llama", f"tiny/llama@{old.name[:7]}"]
    assert shelf.resolve("tiny/llama").path == new
    for revision in ("v1", old.name, old.name[:7]):
        base = shelf.resolve(f"tiny/llama@{revision}")
        assert (base.path, base.source, base.hub_id, base.revision) == (old, "hub", "tiny/llama", old.name)
    with pytest.raises(BaseModelUnknown, match="Already here: tiny/llama@"):
        shelf.resolve("tiny/llama@v2")


def test_a_shelf_name_and_a_folder_resolve_without_looking_inside(shelf, llama_once, tmp_path):
    assert shelf.resolve("demo-base").source == "shelf"
    base = shelf.resolve(tmp_path)
    assert (base.name, base.path, base.source, base.hub_id) == (tmp_path.name, tmp_path, "folder", None)


def test_a_hub_id_that_is_not_here_says_how_to_get_it(shelf):
    with pytest.raises(
        BaseModelUnknown, match=r"press Get on the Train page, or run: python app.py models get org/name$"
    ):
        shelf.resolve("org/name")


def test_a_folder_that_is_not_there_says_so(shelf):
    with pytest.raises(FolderMissing, match="/no/such/model' does not exist"):
        shelf.resolve("/no/such/model")
    with pytest.raises(FolderMissing):
        shelf.resolve("./no/such")


@pytest.mark.parametrize("wanted", ["demo-bse", "Demo-Base", "org/demo-base"])
def test_a_name_that_is_nearly_right_brings_a_suggestion(shelf, wanted):
    with pytest.raises(BaseModelUnknown, match="Did you mean 'demo-base'?"):
        shelf.resolve(wanted)


def test_an_unknown_name_is_answered_with_what_there_is(shelf):
    with pytest.raises(BaseModelUnknown, match="On the shelf: demo-base"):
        shelf.resolve("something else")


def test_the_page_can_use_it_all_without_torch_or_the_hubs_client(llama_once):
    script = (
        "import sys; from jobs.models import hub, hashing, shelf; from pathlib import Path; "
        f"shelf.Shelf(Path('nowhere'), {{'demo': Path({str(llama_once)!r})}}).list(); "
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'httpx2', 'safetensors'}; print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
