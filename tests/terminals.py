"""A terminal for tests: a command that runs on one, and what is on its screen in the end."""

import os
import re
import subprocess
import sys

TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


def screen_of(written):
    """The lines that a terminal shows after all of this was written to it, colours left out."""
    lines, row, column = [""], 0, 0
    for argument, code, back, down, text in TOKEN.findall(written):
        if text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif back:
            column = 0
        elif down:
            row, column = row + 1, 0  # the driver of a terminal adds the carriage return
            lines += [""] * (row + 1 - len(lines))
        elif code == "A":
            row -= int(argument or 1)
        elif code == "K":
            lines[row] = ""
    return [line.rstrip() for line in lines if line.strip()]


def on_terminal(*arguments, columns=100):
    """Run Python with standard error on a terminal; return status, standard output and what was written."""
    master, slave = os.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "30", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, text=True, env=env) as process:
        os.close(slave)
        written = b""
        while True:
            try:
                part = os.read(master, 2**16)
            except OSError:  # how Linux says that all have closed the other end
                break
            if not part:
                break
            written += part
        out = process.stdout.read()
    os.close(master)
    return process.returncode, out, written.decode()
