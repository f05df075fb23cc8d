"""What the numbers beside an image mean, in a sentence each."""

MEANINGS = {
    "score": "Objective of the finished image: how strongly the unit answers to it.",
    "seconds": "Share of the time that its batch took, s.",
    "slope": "Slope of the power spectrum, log-log; photographs lie near -2, noise near 0.",
    "high": "Share of the power in the highest frequencies; much of it hints at adversarial noise.",
    "clipped": "Share of the pixels at the ends of their range.",
    "saturation": "Mean difference between the largest and the smallest colour of a pixel.",
    "self_rank": "Rank of the unit among all of its site on its own image; 1 is best.",
    "robustness": "Score left when the image is shifted and scaled, as a share.",
    "percentile": "Share of photographs that excite the unit less than this image.",
    "firing_rate": "Share of positions in photographs at which the unit is above zero.",
}
