"""Why a circuit graph ends before its last column: the units there have no input to show."""

from collections.abc import Sequence

from circuits.expansion.weight_map import WeightMap
from circuits.graphs.input_scores import ContributionScore, EdgeScore

_NAMED = 6


def why_no_inputs(
    readers: Sequence[str], column: Sequence[str], maps: Sequence[WeightMap], scorer: EdgeScore
) -> str:
    """Return why no unit of a column is kept as an input, and what to do.

    Args:
        readers: Names of the units whose inputs were sought.
        column: Sites that they might read.
        maps: Kernels from these to the readers; all their scores are 0.
        scorer: What scored them.
    """
    who = ", ".join(readers[:_NAMED]) + (", ..." if len(readers) > _NAMED else "")
    start = f"no inputs from {' '.join(column)} to {who}: "
    if not maps:
        return f"{start}none of them reads these sites; name others"
    if not any(bool(weights.kernel.any()) for weights in maps):
        notes = "; ".join(note for weights in maps for note in weights.notes)
        return (
            f"{start}all kernels are 0{f' ({notes})' if notes else ''}; choose other gates, give "
            "images that these units respond to, or choose other units"
        )
    if not isinstance(scorer, ContributionScore):
        return f"{start}all scores are 0; choose another score"
    fires = [scorer.fires(w.target, channel) for w in maps for channel in w.targets]
    if not any(bool(each.any()) for each in fires):
        return (
            f"{start}on none of the {len(fires[0])} images is any of them above 0, so nothing "
            "contributes; give images that they respond to, or rank by the score 'weights'"
        )
    return (
        f"{start}all contributions are 0: where they are largest, what they read is silent on all "
        f"{len(fires[0])} images; give other images, or rank by the score 'weights'"
    )
