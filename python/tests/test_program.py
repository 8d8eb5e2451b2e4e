"""Running the program, and what it says when it fails."""

import os
import signal
import subprocess
import sys
import time

import nasty_teacher
import pytest


def test_text_and_json_come_back():
    assert nasty_teacher.run("--version").startswith("nasty ")
    networks = nasty_teacher.run("networks", "--json")
    assert {"cnn", "resnet18"} <= {network["architecture"] for network in networks}


def test_an_error_carries_the_programs_message_and_exit_code(tmp_path):
    with pytest.raises(nasty_teacher.ProgramError) as caught:
        nasty_teacher.run("networks", "resnet19")
    assert caught.value.code == 2
    assert "resnet19" in caught.value.message
    with pytest.raises(nasty_teacher.ProgramError) as caught:
        nasty_teacher.run("import", tmp_path / "absent.pt", "-o", tmp_path / "net")
    assert caught.value.code == 3
    assert "absent.pt" in str(caught.value)


def test_the_environment_and_the_folder_reach_the_program(tmp_path, monkeypatch):
    script = tmp_path / "fake.py"
    script.write_text("import os, json; print(json.dumps([os.getcwd(), os.environ['SETTING']]))")
    monkeypatch.setattr(nasty_teacher.program, "find_program", lambda: sys.executable)
    found = nasty_teacher.run(script, "--json", cwd=tmp_path, env={"SETTING": 3})
    assert found == [os.path.realpath(tmp_path), "3"]


def test_a_program_that_is_not_there_is_said_to_be(monkeypatch):
    monkeypatch.setenv("NASTY_PROGRAM", "/no/such/program")
    with pytest.raises(FileNotFoundError, match="/no/such/program"):
        nasty_teacher.find_program()
    monkeypatch.delenv("NASTY_PROGRAM")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(nasty_teacher.program.importlib.metadata, "files", lambda name: [])
    with pytest.raises(FileNotFoundError, match="install the wheel"):
        nasty_teacher.find_program()


def test_the_module_is_the_program(program):
    by_module = subprocess.run([sys.executable, "-m", "nasty_teacher", "--version"], capture_output=True, env=_path())
    assert by_module.returncode == 0
    assert by_module.stdout == subprocess.run([program, "--version"], capture_output=True).stdout
    wrong = subprocess.run([sys.executable, "-m", "nasty_teacher", "no-such-command"], capture_output=True, env=_path())
    assert wrong.returncode == 2


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_an_interrupt_lets_the_program_save(tmp_path):
    saves = "import signal, sys, time, pathlib\n"
    saves += "def save(*_):\n    time.sleep(1)\n    pathlib.Path('saved').touch()\n    sys.exit(75)\n"
    saves += "signal.signal(signal.SIGINT, save)\npathlib.Path('ready').touch()\ntime.sleep(60)\n"
    (tmp_path / "program.py").write_text(saves)
    runs = "import sys, nasty_teacher\nnasty_teacher.program.find_program = lambda: sys.executable\n"
    runs += "nasty_teacher.run('program.py')\n"
    (tmp_path / "caller.py").write_text(runs)
    caller = subprocess.Popen(
        [sys.executable, "caller.py"], cwd=tmp_path, env=_path(), start_new_session=True, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < deadline and caller.poll() is None
        time.sleep(0.05)
    os.killpg(caller.pid, signal.SIGINT)  # as a terminal does
    _, talk = caller.communicate(timeout=30)
    assert b"KeyboardInterrupt" in talk
    assert (tmp_path / "saved").exists()


def _path():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
