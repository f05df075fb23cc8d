"""Run the command line in this process."""

from featviz.cli import run

QUICK = ["--steps", "2", "--size", "32", "--precision", "float32", "-q"]
FACTORY = "nets:SmallNet"


def make_command(capsys):
    """Return a function that runs a command and returns its code, stdout and stderr."""

    def command(*words):
        capsys.readouterr()
        code = run([str(word) for word in words])
        return code, *capsys.readouterr()

    return command
