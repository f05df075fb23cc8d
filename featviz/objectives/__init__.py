"""What a render maximises: activations in, one score an image out.

Objectives are immutable, declare the sites that they read, and combine with + - * / and numbers:

    channel("fire4", 5) + 3 * channel("fire4", 9) - 5 * neuron("fire7", 1)

The same as text is `fire4:5 + 3*fire4:9 - 5*fire7:1@center`; expression.py reads it.

In a batch each image has an objective of its own; `bind` turns a list of objectives into one
function, vectorised where they are of one kind.
"""

from featviz.objectives.activations import (
    ALPHA,
    IMAGE,
    OUTSIDE,
    Activations,
    Part,
    Score,
    image_site,
    outside,
)
from featviz.objectives.base import Objective, Product, Quotient, Sum
from featviz.objectives.binding import bind
from featviz.objectives.calls import register_text
from featviz.objectives.contrast import Contrast, contrast, rests
from featviz.objectives.custom import Custom, objective
from featviz.objectives.directions import Direction, direction
from featviz.objectives.expression import is_unit_text, parse_expression, text_to_objectives
from featviz.objectives.facets import Facet, facet, facet_direction
from featviz.objectives.groups import deepdream, group
from featviz.objectives.joint import Diverse, alignment, diversity, interpolation
from featviz.objectives.near import Near
from featviz.objectives.penalties import blur, boundary, l1, l2, total_variation
from featviz.objectives.references import activation_difference, caricature, inversion, style
from featviz.objectives.shaping import Shaped, unshaped
from featviz.objectives.terms import TermWatch, by_label, term_labels, term_scores
from featviz.objectives.transparency import Transparent, opacity
from featviz.objectives.unit import (
    Channel,
    Neuron,
    channel,
    class_logit,
    neuron,
    units_to_objectives,
)

__all__ = [
    "ALPHA",
    "IMAGE",
    "OUTSIDE",
    "Activations",
    "Channel",
    "Contrast",
    "Custom",
    "Direction",
    "Diverse",
    "Facet",
    "Near",
    "Neuron",
    "Objective",
    "Part",
    "Product",
    "Quotient",
    "Score",
    "Shaped",
    "Sum",
    "TermWatch",
    "Transparent",
    "activation_difference",
    "alignment",
    "bind",
    "blur",
    "boundary",
    "by_label",
    "caricature",
    "channel",
    "class_logit",
    "contrast",
    "deepdream",
    "direction",
    "diversity",
    "facet",
    "facet_direction",
    "group",
    "image_site",
    "interpolation",
    "inversion",
    "is_unit_text",
    "l1",
    "l2",
    "neuron",
    "objective",
    "opacity",
    "outside",
    "parse_expression",
    "register_text",
    "rests",
    "style",
    "term_labels",
    "term_scores",
    "text_to_objectives",
    "total_variation",
    "units_to_objectives",
    "unshaped",
]
