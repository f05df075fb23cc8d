"""Is a picture any good: the evidence that stands beside it.

pixels.py looks at pixels alone, statistics.py turns activations into numbers, measures.py asks
networks, reference.py runs a network over a folder of photographs; renders.py reads a folder that
`featviz render` saved, and report.py measures it.
"""

from featviz.metrics.measures import (
    HeldOut,
    Nearest,
    Robustness,
    SelfIdentification,
    diversity,
    embed,
    independent_name,
    nearest_pictures,
    robustness,
    score_images,
    self_identification,
)
from featviz.metrics.pictures import PictureFolder, read_picture
from featviz.metrics.pixels import (
    clipped_share,
    high_frequency_share,
    mean_saturation,
    pixel_metrics,
    radial_spectrum,
    spectrum_slope,
)
from featviz.metrics.reference import Reference
from featviz.metrics.renders import Render, read_render, read_renders
from featviz.metrics.report import Report, measure_renders
from featviz.metrics.statistics import (
    Moments,
    cosine_distance,
    gain,
    gram_diversity,
    percentile,
    rank,
    z_scores,
)

__all__ = [
    "HeldOut",
    "Moments",
    "Nearest",
    "PictureFolder",
    "Reference",
    "Render",
    "Report",
    "Robustness",
    "SelfIdentification",
    "clipped_share",
    "cosine_distance",
    "diversity",
    "embed",
    "gain",
    "gram_diversity",
    "high_frequency_share",
    "independent_name",
    "mean_saturation",
    "measure_renders",
    "nearest_pictures",
    "percentile",
    "pixel_metrics",
    "radial_spectrum",
    "rank",
    "read_picture",
    "read_render",
    "read_renders",
    "robustness",
    "score_images",
    "self_identification",
    "spectrum_slope",
    "z_scores",
]
