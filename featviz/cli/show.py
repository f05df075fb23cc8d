"""`featviz show`."""

import contextlib
import io
import os
import shlex
from pathlib import Path
from typing import Any

import click

from featviz.cli.loading import check_trust
from featviz.cli.output import INTERRUPTED, json_option, print_json
from featviz.errors import OutputError, RecordError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--reproduce",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Render again into FOLDER and compare the files byte by byte.",
)
@click.option(
    "--allow-factory",
    is_flag=True,
    help="Let --reproduce import the module.path:factory that the record names: it runs its code.",
)
@click.option("--overwrite", is_flag=True, help="Let --reproduce replace files that exist.")
@json_option
def show(
    file: Path, reproduce: Path | None, allow_factory: bool, overwrite: bool, as_json: bool
) -> int:
    """Print the record of FILE (PNG or JSON), and the command that makes it again."""
    from featviz.named_files import check_files
    from featviz.record import command, read_record
    from featviz.settings import PREFIX

    record = read_record(file)
    # Settings at their defaults are left out, so variables would take their place.
    line = command(record, ignore_environment=any(name.startswith(PREFIX) for name in os.environ))
    if reproduce is None:
        _print(record, line, as_json=as_json)
        return 0
    if record["ran"]["interrupted"]:
        raise RecordError(
            f"{str(file)!r} was interrupted, so no command makes it again; the full render: {line}"
        )
    if line is None:
        raise RecordError(
            f"{str(file)!r} was made by featviz photo, or from Python objects without a name, and "
            "no record makes it again; run that command or script again instead"
        )
    check_trust(record["request"]["arguments"], allow_factory=allow_factory)
    check_files(record["ran"].get("files", {}))
    if not file.with_suffix(".png").is_file():
        raise RecordError(
            f"there is no picture {str(file.with_suffix('.png'))!r} to compare with; put it beside "
            f"{str(file)!r}, or run the command that 'featviz show' prints"
        )
    if reproduce.resolve() == file.parent.resolve():
        raise OutputError(f"{str(reproduce)!r} holds {str(file)!r} itself; choose another folder")
    same = _run_again(record, file, reproduce, overwrite=overwrite)
    if as_json:
        print_json({"file": str(file), "command": line, "same_bytes": same})
    else:
        click.echo("the same bytes" if same else "different bytes")
    return 0 if same else 1


def _run_again(record: dict[str, Any], file: Path, folder: Path, *, overwrite: bool) -> bool:
    from featviz.cli import app
    from featviz.record import command
    from featviz.result import output_paths

    line = command(record, output=str(folder), ignore_environment=True)
    assert line is not None
    name, *rest = shlex.split(line)[1:]
    words = [name, *["--overwrite"] * overwrite, *rest]
    # The list of files that `render` prints would not belong to this command's output.
    with contextlib.redirect_stdout(io.StringIO()):
        code = app.main(words, prog_name="featviz", standalone_mode=False)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    made = folder / file.with_suffix(".png").name
    if "image" in record:  # the file may have been renamed since
        (made,) = output_paths(folder, record["model"]["name"], [record["image"]["unit"]], [])
    return made.exists() and made.read_bytes() == file.with_suffix(".png").read_bytes()


def _print(record: dict[str, Any], line: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json({**record, "command": line})
        return
    images = record.get("images") or [record["image"]]
    click.echo(f"model      {record['model']['name']} ({record['model']['weights']})")
    click.echo(f"weights    sha256 {record['model']['weights_sha256']}")
    for image in images:
        click.echo(f"unit       {_image_line(image)}")
        for label, value in image.get("terms", {}).items():
            click.echo(f"term       {value:+.4g}  {label}")
    for key, value in {**record["config"], **record["ran"]}.items():
        if key not in {"thresholds"} or value:
            click.echo(f"{key.replace('_', ' '):<17} {value}")
    packages = record["environment"]["packages"]
    click.echo("versions          " + ", ".join(f"{k} {v}" for k, v in packages.items() if v))
    click.echo(f"device            {record['environment']['device']}")
    unnamed = (
        "Made by featviz photo, or from Python objects without a name: no command is recorded."
    )
    click.echo(f"\n{line or unnamed}")


def _image_line(image: dict[str, Any]) -> str:
    words = [image["unit"]]
    words.append("no score" if image["score"] is None else f"score {image['score']:.4g}")
    words.append(f"{image['steps_done']} steps")
    words += ["stopped early"] if image.get("stopped_at") else []
    words += [flag for flag in ("dead", "failed") if image[flag]]
    return ", ".join(words)
