"""Whether edges lead from earlier to later nodes only."""

from collections import Counter
from collections.abc import Sequence

from featviz.errors import CircuitError


def check_acyclic(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> None:
    """Take nodes without inputs away until none is left, or only cycles are.

    Args:
        nodes: Each once.
        edges: Pairs of nodes, from and to.

    Raises:
        CircuitError: If edges go in a circle.
    """
    waiting = Counter(target for _, target in edges)
    readers: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        readers[source].append(target)
    free = [node for node in nodes if not waiting[node]]
    done = 0
    while free:
        done += 1
        for reader in readers[free.pop()]:
            waiting[reader] -= 1
            if not waiting[reader]:
                free.append(reader)
    if done < len(nodes):
        stuck = next(node for node in nodes if waiting[node])
        raise CircuitError(
            f"the edges go in a circle through {stuck!r}; a circuit leads from earlier to later "
            "units: turn or leave out an edge"
        )
