# Part of Consign, Apache-2.0 (see LICENSE).
"""The programs that faults are made with: looked for, built, run, or why this machine cannot.

In: their names. Out: what they said. What must hold: a fault that cannot be made here is a case that
is skipped and says why, never one that seems to have been survived.
"""

import shutil
import subprocess


class Unavailable(Exception):
    """Why a fault cannot be made on this machine."""


def run(*command, environment=None, seconds=60):
    """Runs a tool to its end; its output when it succeeds."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=environment, timeout=seconds, text=True, errors="replace")
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout.strip()[-500:]}")
    return done.stdout


def needs(*programs):
    """Looks for tools; `programs` are pairs of a name and the Debian package that has it."""
    for program, package in programs:
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is missing (apt-get install {package})")
