"""`featviz atlas resume`."""

from pathlib import Path

import click

from featviz.cli.atlas.progress import run_options, showing, tell
from featviz.cli.output import json_option


@click.command()
@click.argument("root", type=click.Path(path_type=Path), metavar="ATLAS")
@run_options
@json_option
def resume(
    root: Path,
    executor: str,
    workers: int | None,
    retry_failed: bool,
    shown: str,
    as_json: bool,
) -> int:
    """Go on with everything that ATLAS was asked for.

    What is there stays as it is; what failed is tried again, three times in all unless
    --retry-failed is given.
    """
    from featviz.atlas.building.build import resume_atlas

    with showing("none" if as_json and shown == "bar" else shown, root) as report:
        built = resume_atlas(
            root, executor=executor, workers=workers, retry_failed=retry_failed, progress=report
        )
    return tell(built, shown=shown, as_json=as_json)
