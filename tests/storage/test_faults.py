import subprocess
import sys

import pytest

from storage.faults import EXIT_CODE, Fault
from storage.problems import SettingInvalid


def test_without_the_variable_there_is_no_fault():
    assert Fault.from_env({}) is None


@pytest.mark.parametrize("value", ["finish", "finish:x", ":1", "finish:1:explode", "finish:1:exit:2"])
def test_a_fault_that_cannot_be_read_is_told(value):
    with pytest.raises(SettingInvalid, match=value):
        Fault.from_env({"STUDIO_FAULT": value})


def test_a_fault_strikes_at_the_passing_that_was_named_and_only_there():
    fault = Fault.from_env({"STUDIO_FAULT": "finish:3:raise"})
    for point in ("finish.saved", "checkpoint.files", "finish.hashed", "finished"):
        fault.pass_point(point)
    with pytest.raises(OSError, match="finish.zipped"):
        fault.pass_point("finish.zipped")
    fault.pass_point("finish.folder")


def test_a_fault_that_struck_in_one_process_strikes_in_no_other(tmp_path):
    environ = {"STUDIO_FAULT": "submit.accepted:1:raise", "STUDIO_FAULT_ONCE": str(tmp_path / "struck")}
    first, second = Fault.from_env(environ), Fault.from_env(environ)
    with pytest.raises(OSError):
        first.pass_point("submit.accepted")
    second.pass_point("submit.accepted")


def test_lack_of_memory_is_pythons_own_where_torch_is_not_there():
    code = "from storage.faults import fault_point\nfault_point('step')"
    ended = subprocess.run([sys.executable, "-c", code], env={"STUDIO_FAULT": "step:1:oom"}, capture_output=True, text=True)
    assert "MemoryError" in ended.stderr
    ended = subprocess.run([sys.executable, "-c", code], env={"STUDIO_FAULT": "step:1"}, capture_output=True, text=True)
    assert (ended.returncode, "Traceback" in ended.stderr) == (EXIT_CODE, False)
