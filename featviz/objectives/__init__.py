"""What a render maximises: activations in, one score an image out.

Objectives are immutable, declare the sites that they read, and combine with + - * / and numbers:

    channel("fire4", 5) + 3 * channel("fire4", 9) - 5 * neuron("fire7", 1)

In a batch each image has an objective of its own; `bind` turns a list of objectives into one
function, vectorised where they are of one kind.
"""

from featviz.objectives.base import (
    IMAGE,
    Activations,
    Objective,
    Product,
    Quotient,
    Score,
    Sum,
    bind,
)
from featviz.objectives.custom import Custom, objective
from featviz.objectives.directions import Direction, direction
from featviz.objectives.groups import deepdream, group
from featviz.objectives.joint import Diverse, alignment, diversity, interpolation
from featviz.objectives.penalties import blur, boundary, l1, l2, total_variation
from featviz.objectives.references import activation_difference, caricature, inversion, style
from featviz.objectives.unit import (
    Channel,
    Neuron,
    channel,
    class_logit,
    neuron,
    units_to_objectives,
)

__all__ = [
    "IMAGE",
    "Activations",
    "Channel",
    "Custom",
    "Direction",
    "Diverse",
    "Neuron",
    "Objective",
    "Product",
    "Quotient",
    "Score",
    "Sum",
    "activation_difference",
    "alignment",
    "bind",
    "blur",
    "boundary",
    "caricature",
    "channel",
    "class_logit",
    "deepdream",
    "direction",
    "diversity",
    "group",
    "interpolation",
    "inversion",
    "l1",
    "l2",
    "neuron",
    "objective",
    "style",
    "total_variation",
    "units_to_objectives",
]
