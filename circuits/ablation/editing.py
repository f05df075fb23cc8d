"""Change weights and activations of a network for a while: what happens without them?

    with edited(model, [parse_edit("negative weights of arcs")]):
        curves = measure_tuning(model, "arcs")

Afterwards the network is bit for bit what it was. effects.py says what broke.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from jaxtyping import Float
from torch import Tensor, nn

from circuits.ablation.activation_hooks import changed_sites, constant
from circuits.ablation.edits import Edit
from circuits.ablation.plans import Constants, Plan, choices, together
from circuits.ablation.second_passes import scaled_edges
from circuits.ablation.weight_edits import swapped_weights
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.sites import Part


@contextmanager
def edited(
    model: Model,
    edits: Sequence[Edit],
    *,
    images: Float[Tensor, "n c h w"] | None = None,
) -> Iterator[None]:
    """Change a network inside a `with` block; blocks may be nested.

    All edits, those of blocks around this one too, are found on the network as it is without any:
    signs of weights, means, and which units read which. Then weights are multiplied, units get
    their constants, and edges over several layers are scaled last. So their order does not matter,
    nor whether they stand in one block or in several.

    Args:
        model: The network. Weights are swapped, activations changed by hooks; both are restored,
            also after an exception.
        edits: All made together.
        images: For edits to the mean: what it is taken over, RGB (or the network's own channels),
            0..1.

    Raises:
        CircuitError: If an edit does not fit the network: no layer of weights, an edge that runs
            backwards, a mean without images, or nothing that it would change; or if two set the
            same unit to different constants.
        SiteError: If a site is unknown.
        UnitError: If a channel is out of range.
    """
    with unedited(model):
        plans = [
            choice.plan(choice.own)
            for edit in edits
            for choice in choices(model, edit, images=images)
        ]
    with planned(model, together(plans)):
        yield


@dataclass(eq=False)
class _Blocks:
    """The blocks that a network is in, outermost first, and what is up for them."""

    plans: list[Plan] = field(default_factory=list)
    up: ExitStack = field(default_factory=ExitStack)

    def put_up(self, model: Model) -> None:
        """Do what all blocks say."""
        self.up.close()
        plan = together(self.plans)
        _check_constants(model, plan.constants)
        with ExitStack() as stack:
            stack.enter_context(swapped_weights(plan.weights))
            for each in plan.constants:
                change = constant(each.channels, each.values)
                stack.enter_context(changed_sites(model, {each.site: change}))
            stack.enter_context(scaled_edges(model, plan.edges))
            self.up = stack.pop_all()


_BLOCKS: WeakKeyDictionary[nn.Module, _Blocks] = WeakKeyDictionary()


@contextmanager
def unedited(model: Model) -> Iterator[None]:
    """Take the edits of all blocks around this one back inside a `with` block.

    Args:
        model: The network.
    """
    blocks = _BLOCKS.get(model.module)
    if blocks is None:
        yield
        return
    blocks.up.close()
    try:
        yield
    finally:
        blocks.put_up(model)


@contextmanager
def planned(model: Model, plan: Plan) -> Iterator[None]:
    """Do what a plan says inside a `with` block, with what blocks around it say.

    Args:
        model: The network.
        plan: Made of `choices` on the network unedited.

    Raises:
        CircuitError: If two edits set the same unit to different constants.
    """
    blocks = _BLOCKS.setdefault(model.module, _Blocks())
    blocks.plans.append(plan)
    try:
        blocks.put_up(model)
        yield
    finally:
        blocks.plans.pop()
        blocks.put_up(model)
        if not blocks.plans:
            del _BLOCKS[model.module]


def _check_constants(model: Model, constants: Sequence[Constants]) -> None:
    """Refuse a unit that is given two constants, by whatever names."""
    table = model.site_table()
    found: dict[tuple[tuple[Part, ...], int], tuple[float, Constants]] = {}
    for each in constants:
        site = table.resolve(each.site)
        for channel, value in zip(each.channels, each.values.tolist(), strict=True):
            known, other = found.setdefault((site.parts, site.span[0] + channel), (value, each))
            if known != value:
                raise CircuitError(
                    f"'{other.edit}' and '{each.edit}' set {each.site}:{channel} to different "
                    "constants; leave one of them out"
                )
