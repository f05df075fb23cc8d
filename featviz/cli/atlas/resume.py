"""`featviz atlas resume`."""

from pathlib import Path

import click

from featviz.cli.atlas.progress import run_options, showing, tell
from featviz.cli.loading import check_trust
from featviz.cli.output import json_option


@click.command()
@click.argument("root", type=click.Path(path_type=Path), metavar="ATLAS")
@run_options
@click.option(
    "--allow-factory", is_flag=True,
    help="Import the module.path:factory that the atlas names: it runs its code.",
)  # fmt: skip
@json_option
def resume(
    root: Path,
    executor: str,
    workers: int | None,
    retry_failed: bool,
    allow_factory: bool,
    shown: str,
    as_json: bool,
) -> int:
    """Go on with everything that ATLAS was asked for.

    What is there stays as it is; what failed is tried again, three times in all unless
    --retry-failed is given.
    """
    from featviz.atlas.building.build import resume_atlas
    from featviz.atlas.building.plan import read_plans
    from featviz.atlas.layout import open_layout

    for plan in read_plans(open_layout(root)):
        check_trust((plan.request.model.name,), allow_factory=allow_factory)
    with showing("none" if as_json and shown == "bar" else shown, root) as report:
        built = resume_atlas(
            root, executor=executor, workers=workers, retry_failed=retry_failed, progress=report
        )
    return tell(built, shown=shown, as_json=as_json)
