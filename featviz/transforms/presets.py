"""Lists of transforms by name: what other systems use.

Each takes over kinds and ranges. How a transform works is ours throughout: the image keeps its
size, a jitter is a symmetric shift instead of a crop, all moves are one bilinear resampling, and
grey comes in from outside.
"""

from featviz.transforms.affine import Jitter, Rotate, Scale
from featviz.transforms.base import Transform

# Lucid 0.3.10, optvis/transform, the standard list without its first entry, pad 12 with constant
# 0.5: the crops that follow there leave 6 px of it on each side, so that the network sees 12 px
# more than asked for. `pad:6,jitter:8,...` gives those back.
LUCID = (
    Jitter(8),
    Scale(tuple(1 + (i - 5) / 50 for i in range(11))),
    Rotate((*range(-10, 11), 0, 0, 0, 0, 0)),
    Jitter(4),
)

PRESETS: dict[str, tuple[Transform, ...]] = {
    "lucid": LUCID,
    "none": (),
}
