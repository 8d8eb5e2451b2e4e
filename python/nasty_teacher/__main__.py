"""`python -m nasty_teacher …` is `nasty …`."""

import os
import subprocess
import sys

from .program import find_program


def main():
    try:
        command = [find_program(), *sys.argv[1:]]
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")
    if os.name == "posix":
        os.execv(command[0], command)
    # Windows has no exec that the waiting shell would follow.
    sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
