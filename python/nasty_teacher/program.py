"""Finds the program and runs it."""

import importlib.metadata
import json
import os
import shutil
import subprocess

NAMES = ("nasty", "nasty.exe")


class ProgramError(Exception):
    """The program ended with an exit code other than 0.

    `code` is the exit code (the table of exit codes is in the README; 75 means stopped with the state saved, negative
    is the signal that killed it), `message` is what the program wrote to standard error, `command` what was run.
    """

    def __init__(self, command, code, message):
        super().__init__(f"{' '.join(command)} ended with {code}: {message or 'no message'}")
        self.command, self.code, self.message = command, code, message


def find_program():
    """The path of the program: `NASTY_PROGRAM` if set, else the one of this package's wheel, else the one on `PATH`.

    Raises FileNotFoundError if there is none.
    """
    named = os.environ.get("NASTY_PROGRAM")
    if named:
        path = shutil.which(named)
        if path is None:
            raise FileNotFoundError(f"NASTY_PROGRAM is {named}, which is no program that can be run")
        return path
    try:
        files = importlib.metadata.files("nasty-teacher") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    installed = (str(file.locate()) for file in files if file.name in NAMES)
    path = next(filter(os.path.isfile, installed), None) or shutil.which("nasty")
    if path is None:
        raise FileNotFoundError(
            "the program `nasty` is neither in this package nor on PATH: install the wheel `nasty-teacher`, or name "
            "the program in NASTY_PROGRAM"
        )
    # A relative path would not survive a change of the working directory.
    return os.path.abspath(path)


def run(*arguments, cwd=None, env=None):
    """Runs `nasty` with `arguments` (strings, paths or numbers) and returns what it prints to standard output.

    With `--json` among the arguments that is parsed; else it is text. `cwd` is the working directory, `env` is added
    to the environment. Raises ProgramError if the exit code is not 0. An interrupt (Ctrl-C) waits until the
    program, which receives it too, has saved its state.
    """
    command = [find_program(), *map(str, arguments)]
    environment = {**os.environ, **{name: str(value) for name, value in (env or {}).items()}}
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    with process:
        try:
            output, talk = process.communicate()
        except KeyboardInterrupt:
            process.communicate()
            raise
    if process.returncode != 0:
        raise ProgramError(command, process.returncode, talk.strip())
    return json.loads(output) if "--json" in command else output
