"""Lists of transforms by name: what other systems use.

Each takes over kinds and ranges. How a transform works is ours throughout: the image keeps its
size, a jitter is a symmetric shift instead of a crop, all moves are one bilinear resampling, and
grey comes in from outside.
"""

from featviz.transforms.affine import Flip, Jitter, Rotate, Scale
from featviz.transforms.base import Transform
from featviz.transforms.blur import Blur
from featviz.transforms.crops import Crops
from featviz.transforms.noise import Noise

# Lucid 0.3.10, optvis/transform, the standard list without its first entry, pad 12 with constant
# 0.5: the crops that follow there leave 6 px of it on each side, so that the network sees 12 px
# more than asked for. `pad:6,jitter:8,...` gives those back.
LUCID = (
    Jitter(8),
    Scale(tuple(1 + (i - 5) / 50 for i in range(11))),
    Rotate((*range(-10, 11), 0, 0, 0, 0, 0)),
    Jitter(4),
)

# Xplique 2.0.0, features_visualizations, the standard list in sixteenths of the side, without its
# first entry, pad by 4/16 with 0. The crops there leave 5.5/16 of the side, which is enlarged to
# the network's input; here the whole image stays in sight. One draw of scale and blur there is for
# all images of a batch, and the blur has 10 taps, off centre by half a pixel.
#
# With `fourier` the outermost pixels come out dashed. The blur hides fine detail from the network,
# so that all that reaches fine coefficients is the cut of the gradient at the edge of the image,
# and Adam takes steps of one size for each coefficient, however small its gradient. `pixels` and
# `maco` show none of it, no more does `fourier` without the blur; what comes in from outside makes
# no difference. There the images are 512 px wide, where a rim of one pixel hardly shows.
_UNIT_PERCENT = 100 / 16
SMOOTH = (
    *(Jitter(times * _UNIT_PERCENT, percent=True) for times in (2, 2, 4, 4, 4)),
    Scale((0.92, 0.96), uniform=True),
    Blur((1.0, 1.1), uniform=True),
    *(Jitter(_UNIT_PERCENT, percent=True) for _ in range(2)),
    Flip(),
)

# Xplique 2.0.0, features_visualizations/maco; for what differs see crops.py and noise.py.
MACO = (Crops(32), Noise(0.08))

PRESETS: dict[str, tuple[Transform, ...]] = {
    "lucid": LUCID,
    "maco": MACO,
    "none": (),
    "smooth": SMOOTH,
}
