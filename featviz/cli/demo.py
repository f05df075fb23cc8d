"""`featviz demo`: the main job, on the embedded network, offline."""

import time
from pathlib import Path

import click

from featviz.cli.output import json_option, print_json
from featviz.config import RenderConfig

# Site -> units, heading, a sentence. Found by looking at all units of the 3x3 halves of the sites.
DEMO_UNITS = {
    "fire3": ("fire3:74,80,85,104,109,113,119,123", "lines", "Lines, stripes, dots and colours."),
    "fire5": (
        "fire5:134,144,150,157,164,176,204,210",
        "curves and textures",
        "Curves to either side, zigzags, eye-like rings, weaves, patches of colour.",
    ),
    "fire7": (
        "fire7:199,200,204,216,230,249,267,286",
        "parts",
        "Muzzles and eyes, an opening lid, human faces, spirals, bubbles.",
    ),
    "fire9": (
        "fire9:258,269,275,300,305,311,320,328",
        "objects",
        "Animals on four legs, birds curled and standing, heads in profile.",
    ),
}


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out/demo"))
@click.option("--steps", type=int, default=RenderConfig.steps, show_default=True)
@click.option("--size", type=int, default=160, show_default=True, help="Pixels.")
@json_option
def demo(output: Path, steps: int, size: int, as_json: bool) -> None:
    """Render features from four depths of the embedded network, and a page that shows them.

    Files of an earlier demo in the folder are replaced.
    """
    import featviz
    from featviz.images import check_folder, contact_sheet, png_bytes, write_file
    from featviz.page import result_section, write_page

    check_folder(output)
    started = time.monotonic()
    model = featviz.load("squeezenet1_1")
    sections, results, files = [], [], []
    for site, (units, heading, text) in DEMO_UNITS.items():
        result = featviz.render(model, units, steps=steps, size=size, progress=True)
        if result.interrupted:
            raise KeyboardInterrupt
        paths = result.save(output, overwrite=True)
        sections.append(result_section(f"{site}: {heading}", text, result, paths))
        results.append(result)
        files += [str(path) for path in paths]
    pictures = [picture for result in results for picture in result.pictures()]
    captions = [caption for result in results for caption in result.captions()]
    sheet = output / "contact_sheet.png"
    write_file(sheet, png_bytes(contact_sheet(pictures, captions, columns=8)))
    write_page(
        output / "index.html",
        sections,
        title="What squeezenet1_1 looks for",
        lead="Each image was optimised, from noise, to excite one channel of the network. Below "
        "each: the channel, its mean activation, and the record of how the image was made.",
    )
    seconds = time.monotonic() - started
    if as_json:
        page = str(output / "index.html")
        print_json({"page": page, "sheet": str(sheet), "files": files, "seconds": seconds})
        return
    click.echo(f"{len(pictures)} features in {seconds:.0f} s")
    click.echo(f"contact sheet  {sheet}")
    click.echo(f"page           {output / 'index.html'}")
