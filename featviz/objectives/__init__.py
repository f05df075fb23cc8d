"""What a render maximises: activations in, one score an image out.

Objectives are immutable, declare the sites that they read, and combine with + - * / and numbers:

    channel("fire4", 5) + 3 * channel("fire4", 9) - 5 * neuron("fire7", 1)

The same as text is `fire4:5 + 3*fire4:9 - 5*fire7:1@center`; expression.py reads it.

In a batch each image has an objective of its own; `bind` turns a list of objectives into one
function, vectorised where they are of one kind.
"""

from featviz.objectives.base import Activations, Objective, Product, Quotient, Score, Sum, bind
from featviz.objectives.calls import register_text
from featviz.objectives.custom import Custom, objective
from featviz.objectives.directions import Direction, direction
from featviz.objectives.expression import (
    is_unit_text,
    parse_expression,
    text_to_objectives,
)
from featviz.objectives.unit import (
    Channel,
    Neuron,
    channel,
    class_logit,
    neuron,
    units_to_objectives,
)

__all__ = [
    "Activations",
    "Channel",
    "Custom",
    "Direction",
    "Neuron",
    "Objective",
    "Product",
    "Quotient",
    "Score",
    "Sum",
    "bind",
    "channel",
    "class_logit",
    "direction",
    "is_unit_text",
    "neuron",
    "objective",
    "parse_expression",
    "register_text",
    "text_to_objectives",
    "units_to_objectives",
]
