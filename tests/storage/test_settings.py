import pytest

from storage.problems import SettingInvalid
from storage.settings import StudioSettings


def test_everything_is_kept_under_one_home(tmp_path):
    settings = StudioSettings.from_env({"STUDIO_HOME": str(tmp_path)})
    assert settings.database_url == f"sqlite:///{tmp_path / 'studio.db'}"
    for folder in (settings.uploads_dir, settings.runs_dir, settings.adapters_dir, settings.models_dir, settings.temporary_dir):
        assert folder.parent == tmp_path


@pytest.mark.parametrize("name, value, said", [
    ("STUDIO_PORT", "http", "STUDIO_PORT is 'http'. Give a whole number"),
    ("STUDIO_DEVICES", "gpu0", "STUDIO_DEVICES has 'gpu0'. Name devices as cuda:0,cuda:1 or cpu"),
    ("STUDIO_DATA_FOLDERS", "/data:files", "STUDIO_DATA_FOLDERS has 'files'. Give whole paths"),
    ("STUDIO_DATABASE_URL", "mysql://x", "only SQLite is supported so far"),
])
def test_a_bad_setting_is_named_with_its_value(name, value, said):
    with pytest.raises(SettingInvalid, match=said):
        StudioSettings.from_env({name: value})


def test_socket_paths_stay_short_however_deep_the_home_is(tmp_path):
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    assert len(str(StudioSettings.from_env({"STUDIO_HOME": str(deep)}).playground_socket)) < 108


def test_data_folders_are_whole_paths_with_colons_between(tmp_path):
    assert StudioSettings.from_env({}).data_folders == ()
    settings = StudioSettings.from_env({"STUDIO_DATA_FOLDERS": f"{tmp_path}/a:{tmp_path}/b:{tmp_path}/a:"})
    assert settings.data_folders == (tmp_path / "a", tmp_path / "b")
