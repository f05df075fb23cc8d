"""Runs the command line in a forked process for each JSON line on stdin: imports are paid once.

Prints the process, and what became of it.
"""

import json
import os
import sys

from featviz.cli import run

for line in sys.stdin:
    words = json.loads(line)
    child = os.fork()
    if child == 0:
        os._exit(run(words))
    sys.stdout.write(f"{child}\n")
    sys.stdout.flush()
    sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
    sys.stdout.flush()
