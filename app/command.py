"""`featviz app`: start the app and open the browser."""

from pathlib import Path

import click

from featviz.errors import ConfigError


@click.command()
@click.argument("atlases", nargs=-1, metavar="[ATLAS]...", type=click.Path(path_type=Path))
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Of 127.0.0.1."
)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open a browser.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Another network that may be loaded: torchvision:NAME, timm:NAME, package.module:factory.",
)
@click.option(
    "--renders",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Atlas that renders of the app go to. [featviz/renders of your data folder]",
)
def app(
    atlases: tuple[Path, ...],
    port: int,
    browser: bool,
    models: tuple[str, ...],
    renders: Path | None,
) -> None:
    """Browse features and circuits, render live, teach.

    ATLAS is a folder that 'featviz atlas build' made; without one the app shows the small atlas
    that comes with featviz. It answers this machine alone, works offline, and ends with Ctrl-C.
    """
    try:
        from app.serving import HOST, make_server, open_browser_when_ready
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _NEEDED:
            raise
        raise ConfigError(
            f"the app needs {error.name}; install it with pip install 'featviz[app]'"
        ) from error
    from app.cores import leave_a_core
    from app.keeping import data_folder
    from app.library import open_library
    from app.networks import load_told
    from app.shipped import own_atlas
    from featviz.kept_memory import share_one_heap

    renders = renders or data_folder() / "renders"
    share_one_heap()
    leave_a_core()
    load_told(models)
    library = open_library(atlases or [own_atlas()], models=models, renders=renders)
    server = make_server(library, port=port)
    click.echo(f"http://{HOST}:{port}  (Ctrl-C ends it)")
    if browser:
        open_browser_when_ready(port)
    server.run()


_NEEDED = ("streamlit", "starlette", "uvicorn")
