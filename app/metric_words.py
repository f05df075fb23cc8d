"""What the numbers beside an image mean, in a sentence each."""

MEANINGS = {
    "score": "Objective of the finished image: how strongly the unit answers to it.",
    "slope": "Of the amplitude spectrum, log-log; most photographs have -1.1 to -1.7, noise 0.",
    "high": "Share of the power above a quarter of a cycle a pixel; much of it hints at "
    "adversarial noise.",
    "clipped": "Share of the pixels with a channel at an end of its range.",
    "saturation": "Mean over the pixels of (max - min) / max over the channels; grey has none.",
    "opacity": "Mean opacity of an image that has transparent parts; 1 is opaque.",
    "self_rank": "Rank of the unit among all of its site on its own image; 1 is best.",
    "self_z": "Standard deviations by which its own image excites the unit more than photographs "
    "do on average.",
    "self_photographs": "Photographs that the rank and the deviations are counted by.",
    "robustness": "Mean score of the image moved and blurred, over that of the image itself.",
    "percentile": "Percent of the photographs, 0 to 100, that excite the unit less than the image.",
    "firing_rate": "Share of the photographs on which the unit is above zero anywhere.",
}
"""By the name that records and atlases have."""
