"""`featviz spectrum`."""

from pathlib import Path

import click

from featviz.cli.output import json_option, print_json


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write: .npz."
)
@click.option("--size", type=int, help="Side of the squares that are measured, px. [256]")
@click.option(
    "--axes",
    type=click.Choice(["own", "lucid"]),
    default="own",
    show_default=True,
    help="Colour axes: of these images, or of ImageNet.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@json_option
def spectrum(
    images: tuple[Path, ...],
    output: Path,
    size: int | None,
    axes: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure the spectrum and the colours of IMAGES: photographs, or folders of them.

    The file serves as --param maco:spectrum=FILE and as fourier:colors=FILE (and pixels, pyramid,
    shared).
    """
    from featviz.natural_spectrum import DEFAULT_SIZE_PX, measure_spectrum
    from featviz.spectrum_files import check_writable, save_spectrum

    check_writable(output, overwrite=overwrite)
    side = DEFAULT_SIZE_PX if size is None else size
    found = measure_spectrum(images, size_px=side, axes="lucid" if axes == "lucid" else "own")
    save_spectrum(found, output, overwrite=overwrite)
    if as_json:
        document = {
            "file": str(output),
            "images": found.images,
            "size_px": side,
            "slopes": list(found.slopes()),
            "colors": found.colors.tolist(),
        }
        print_json(document)
    else:
        slopes = ", ".join(f"{slope:.2f}" for slope in found.slopes())
        click.echo(
            f"{output}: {found.images} images; magnitude falls with frequency to the {slopes}"
        )
