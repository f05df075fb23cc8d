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
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
