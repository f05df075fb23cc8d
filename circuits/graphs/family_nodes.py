"""Units of one family as one node of a circuit graph.

    families = circuits.parse_families("lines=fire3:1,4,9; curves=fire4:3,7-9")
    graph = circuits.with_families(graph, families)

A family reads as its members do on average, and is read as the sum of them: an edge is the mean
over the members of its target of the sum over the members of its source, in weights and in
kernels; members without an edge count as 0.
"""

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from circuits.families.family import Family, check_known
from circuits.graphs.graph import CircuitGraph, Edge, Kernel, Node, Tuning
from circuits.graphs.probe import units_text
from featviz.errors import CircuitError, did_you_mean
from featviz.images import png_bytes
from featviz.models import Model

LISTED = 6
"""Channels that the label of a family names."""
_TILES = 4
_GAP_PX = 4


@dataclass(frozen=True)
class _Group:
    """Nodes that become one: the members of a family in one site, or a node left as it is."""

    id: str
    members: tuple[Node, ...]
    family: Family | None = None

    @property
    def units(self) -> tuple[int, ...]:
        return tuple(unit for node in self.members for unit in node.units)


def with_families(
    graph: CircuitGraph, families: Sequence[Family], *, model: Model | None = None
) -> CircuitGraph:
    """Return the graph with the units of each family as one node, named after it.

    Of a family, those units become a node that the graph holds; a family with units in several
    sites becomes one node in each, `NAME SITE`. Families of which the graph holds no unit are
    named in the meta. A node's score is the sum of its members' scores. Its image is a sheet of up
    to four of theirs, by score; its tuning the mean of theirs, if all have one to the same
    stimulus. The scale of an edge's colours is the mean over the target's members of what theirs
    was, or the largest drawn weight of the target's inputs if that is larger.

    Args:
        graph: Of units, or with families of other units in it.
        families: Each unit in one of them at most.
        model: The network, to check that the units exist; None: not checked, and units that are
            not in the graph do not matter.

    Raises:
        CircuitError: If there are no families, two have one name or one unit, one names a site
            that the graph does not run through or a unit that does not exist; if the graph holds
            no unit of any; if members read each other, or are of a node with other units.
    """
    _check(graph, families, model)
    groups = _groups(graph, families)
    home = {node.id: group for group in groups for node in group.members}
    edges = _scaled(_edges(graph, home), graph, home)
    nodes = tuple(_node(group) for group in groups)
    return CircuitGraph(nodes, edges, {**graph.meta, "families": _told(families, groups)})


def _check(graph: CircuitGraph, families: Sequence[Family], model: Model | None) -> None:
    if not families:
        raise CircuitError("there are no families; give some, such as 'curves=fire4:3,7-9'")
    for name, count in Counter(family.name for family in families).items():
        if count > 1:
            raise CircuitError(f"two families have the name {name!r}; rename one")
    homes: dict[str, str] = {}
    for family in families:
        for unit in family.units:
            if unit.site not in graph.sites:
                raise CircuitError(
                    f"the family {family.name!r} names {unit}, and the graph does not run through "
                    f"{unit.site!r}{did_you_mean(unit.site, graph.sites)} it runs through "
                    f"{', '.join(graph.sites)}"
                )
            if str(unit) in homes:
                raise CircuitError(
                    f"{unit} is in two families, {homes[str(unit)]!r} and {family.name!r}; leave "
                    "it in one"
                )
            homes[str(unit)] = family.name
    if model is not None:
        table = model.site_table()
        check_known(families, {site: table.resolve(site).channels for site in graph.sites})


def _groups(graph: CircuitGraph, families: Sequence[Family]) -> list[_Group]:
    """Return the nodes to come, each where its first member was."""
    found: dict[str, _Group] = {}
    for family in families:
        sites = [site for site in graph.sites if _members(graph, family, site)]
        for site in sites:
            name = family.name if len(sites) == 1 else f"{family.name} {site}"
            group = _Group(name, _members(graph, family, site), family)
            found.update({node.id: group for node in group.members})
    if not found:
        raise CircuitError(
            f"the graph holds no unit of {', '.join(repr(f.name) for f in families)}; it holds "
            f"{', '.join(units_text(*item) for item in graph.channels().items())}"
        )
    groups = [found.get(node.id) or _Group(node.id, (node,)) for node in graph.nodes]
    return list({id(group): group for group in groups}.values())


def _members(graph: CircuitGraph, family: Family, site: str) -> tuple[Node, ...]:
    own = set(family.channels(site))
    members = []
    for node in graph.nodes:
        inside = own & set(node.units) if node.site == site else set()
        if inside and len(inside) < len(node.units):
            raise CircuitError(
                f"the family {family.name!r} has some units of the node {node.id!r} and not all; "
                "group a graph of single units, or take whole nodes"
            )
        if inside:
            members.append(node)
    return tuple(members)


def _edges(graph: CircuitGraph, home: Mapping[str, _Group]) -> list[Edge]:
    """Return the edges between groups; those that nothing was merged into stay as they are."""
    between: dict[tuple[str, str], list[Edge]] = {}
    for edge in graph.edges:
        source, target = home[edge.source], home[edge.target]
        if source.id == target.id:
            raise CircuitError(
                f"{edge.source} and {edge.target} are both in the family {source.id!r}, and one "
                "reads the other; put them into two families"
            )
        between.setdefault((source.id, target.id), []).append(edge)
    sizes = {node.id: len(node.units) for node in graph.nodes}
    return [_merged(edges, home, sizes) for edges in between.values()]


def _merged(edges: Sequence[Edge], home: Mapping[str, _Group], sizes: Mapping[str, int]) -> Edge:
    first = edges[0]
    source, target = home[first.source], home[first.target]
    if len(source.members) == len(target.members) == 1:
        return replace(first, source=source.id, target=target.id)
    names = sorted({edge.score_name for edge in edges})
    if len(names) > 1:
        raise CircuitError(
            f"edges of {source.id} to {target.id} are scored by {', '.join(names)}, which do not "
            "add up; give all edges of a graph one score"
        )
    # A node that is a family already stands for as many units as it has. The colours' scale
    # needs all inputs of the target, see `_scaled`.
    shares = [sizes[edge.target] / len(target.units) for edge in edges]
    return Edge(
        source.id,
        target.id,
        math.fsum(share * edge.weight for share, edge in zip(shares, edges, strict=True)),
        _mean_kernel(shares, [edge.kernel for edge in edges]),
        None,
        first.score_name,
    )


def _mean_kernel(shares: Sequence[float], kernels: Sequence[Kernel | None]) -> Kernel | None:
    """Return the weighted sum; None where a kernel is missing or they do not lie on each other."""
    arrays = [torch.tensor(kernel, dtype=torch.float64) for kernel in kernels if kernel is not None]
    if len(arrays) < len(kernels) or len({array.shape for array in arrays}) > 1:
        return None
    total: Tensor = sum(
        (share * array for share, array in zip(shares, arrays, strict=True)),
        torch.zeros_like(arrays[0]),
    )
    return tuple(tuple(row) for row in total.tolist())


def _scaled(
    edges: Sequence[Edge], graph: CircuitGraph, home: Mapping[str, _Group]
) -> tuple[Edge, ...]:
    """Give all edges into a node one scale of colours, where some of them are merged."""
    sizes = {node.id: len(node.units) for node in graph.nodes}
    own: dict[str, dict[str, float]] = {}
    merged = set()
    for edge in graph.edges:
        source, target = home[edge.source], home[edge.target]
        if len(source.members) > 1 or len(target.members) > 1:
            merged.add(target.id)
        scales = own.setdefault(target.id, {})
        scales[edge.target] = max(scales.get(edge.target, 0.0), edge.color_scale)
    scale: dict[str, float] = {}
    for target_id in merged:
        members = own[target_id]
        count = sum(sizes[name] for name in members)
        mean = sum(value * sizes[name] for name, value in members.items()) / count
        drawn = (edge for edge in edges if edge.target == target_id)
        cells = [abs(value) for edge in drawn for row in edge.kernel or () for value in row]
        scale[target_id] = max([mean, *cells])
    return tuple(
        replace(edge, scale=scale[edge.target]) if edge.target in scale else edge for edge in edges
    )


def _node(group: _Group) -> Node:
    if group.family is None:
        return group.members[0]
    site, units = group.members[0].site, group.units
    ranked = sorted(group.members, key=lambda node: -node.score)
    return Node(
        id=group.id,
        site=site,
        units=units,
        label=_label(units, len(group.family.channels(site))),
        image=_sheet([node.image for node in ranked if node.image is not None][:_TILES]),
        tuning=_joint(group.members),
        score=math.fsum(node.score for node in group.members),
    )


def _label(units: Sequence[int], whole: int) -> str:
    count = f"{len(units)}" if len(units) == whole else f"{len(units)} of {whole}"
    some = ", ".join(map(str, units[:LISTED])) + (", ..." if len(units) > LISTED else "")
    return f"{count} unit{'' if whole == 1 else 's'}: {some}"


def _sheet(images: Sequence[bytes]) -> bytes | None:
    """Return one image as it is, or up to four on a square of two by two, clear where none is."""
    if len(images) < 2:
        return images[0] if images else None
    pictures = [Image.open(io.BytesIO(data), formats=["PNG"]).convert("RGBA") for data in images]
    tile = max(pictures[0].size)
    side = 2 * tile + _GAP_PX
    rows = (len(pictures) + 1) // 2
    top = (side - rows * tile - (rows - 1) * _GAP_PX) // 2
    sheet = Image.new("RGBA", (side, side))
    for number, picture in enumerate(pictures):
        row, column = divmod(number, 2)
        place = (column * (tile + _GAP_PX), top + row * (tile + _GAP_PX))
        fitted = picture.resize((tile, tile), Image.Resampling.BOX)
        sheet.paste(fitted, place)
    return png_bytes(sheet)


def _joint(members: Sequence[Node]) -> Tuning | None:
    """Return the mean tuning of members that are all tuned to the same stimulus."""
    tunings = [node.tuning for node in members if node.tuning is not None]
    kinds = {(tuning.stimulus, tuning.period_deg, len(tuning.response)) for tuning in tunings}
    if len(tunings) < len(members) or len(kinds) > 1:
        return None
    total = sum(len(node.units) for node in members)
    shares = [len(node.units) / total for node in members]
    columns = zip(*(tuning.response for tuning in tunings), strict=True)
    means = (math.fsum(s * v for s, v in zip(shares, c, strict=True)) for c in columns)
    return replace(tunings[0], response=tuple(means))


def _told(families: Sequence[Family], groups: Sequence[_Group]) -> str:
    """Return which node is which units, and which families the graph holds nothing of."""
    lines = [
        f"{group.id}: {units_text(group.members[0].site, group.units)}"
        for group in groups
        if group.family is not None
    ]
    held = {group.family.name for group in groups if group.family is not None}
    missing = [family.name for family in families if family.name not in held]
    if missing:
        lines.append(f"no unit in this graph: {', '.join(missing)}")
    return "\n".join(lines)
