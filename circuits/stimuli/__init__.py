"""Pictures with one known feature: lines, arcs, circles, angles, corners, gratings, colour pairs.

    from circuits import stimuli

    images = stimuli.arcs(angle_deg, size=(96, 96), radius_px=28)  # [n 3 h w], 0..1
    grid = stimuli.grid("curve", size=(96, 96), scale_px=39)  # orientation x radius
    grid.parameters, grid.images(slice(0, 32))

Drawn with anti-aliasing on whatever device `angle_deg` is on, at any size, one row a picture.
Pixels are unit squares, the middle of the image is the origin, x runs right and y up.

Orientation: a line's is its angle, counter-clockwise from horizontal, and repeats after 180. What
has an inside (curves, circles, angles, corners), or two sides, has the direction 180 minus where
the inside, or the first side, lies: 0 is `)`, 90 a smile, and a clockwise turn of the picture by
90 degrees adds 90 (to a line -90).
"""

from circuits.stimuli.canvas import ARTICLE_INK, Ink
from circuits.stimuli.grids import FAMILIES, Grid, grid
from circuits.stimuli.strokes import angles, arcs, circles, lines, rings
from circuits.stimuli.surfaces import color_pairs, corners, edges
from circuits.stimuli.waves import gratings, high_low

__all__ = [
    "ARTICLE_INK",
    "FAMILIES",
    "Grid",
    "Ink",
    "angles",
    "arcs",
    "circles",
    "color_pairs",
    "corners",
    "edges",
    "gratings",
    "grid",
    "high_low",
    "lines",
    "rings",
]
