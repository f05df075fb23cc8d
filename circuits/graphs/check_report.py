"""A check of a circuit as a table, as text and as data for JSON."""

import math
from collections.abc import Sequence

from circuits.graphs.check import CircuitCheck
from circuits.graphs.probe import count_units


def check_document(check: CircuitCheck) -> dict[str, object]:
    """Return a check as plain data for JSON; what is not a number becomes null."""
    score = check.faithfulness
    return {
        "target": check.target,
        "images": check.images,
        "ablation": check.ablation,
        "rows": [
            {
                "sites": list(row.sites),
                "kept": row.kept,
                "total": row.total,
                "correlation": _plain(row.correlation),
                "random": [_plain(value) for value in row.random],
                "shuffled": [_plain(value) for value in row.shuffled],
                "random_weights": [_plain(value) for value in row.random_weights],
            }
            for row in check.rows
        ],
        "faithfulness": None if score is None else score.faithfulness,
        "incompleteness": None if score is None else score.incompleteness,
        "minimality": None if score is None else dict(score.minimality),
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


HEADS = (
    "only these units on", "kept", "correlation", "as many at random", "in the shuffled network",
    "with random weights",
)  # fmt: skip


def check_rows(check: CircuitCheck) -> list[list[str]]:
    """Return the table of a check as text, columns as in HEADS."""
    return [
        [
            " + ".join(row.sites),
            f"{row.kept} of {row.total}",
            "silent" if math.isnan(row.correlation) else f"{row.correlation:.2f}",
            _spread(row.random),
            _spread(row.shuffled),
            _spread(row.random_weights),
        ]
        for row in check.rows
    ]


def check_text(check: CircuitCheck) -> str:
    """Return what stands below the table of a check."""
    count = count_units(check.target)
    whom = (
        f"{check.target} with itself in the whole network, over {check.images}"
        if count == 1
        else f"the {count} units {check.target} with themselves in the whole network, over these "
        f"units and {check.images} together, so that differences in level between units count too"
    )
    text = (
        f"Correlation of {whom}; other units of these sites set to "
        f"{'0' if check.ablation == 'zero' else 'their mean'}. Beside it: as many units of each "
        "site at random, and circuits built alike in the network with its weights in other "
        "places, and with weights drawn anew."
    )
    score = check.faithfulness
    if score is None:
        return f"{text} Faithfulness cannot be told: the mean is the same without the sites."
    return (
        f"{text} All columns together: faithfulness {score.faithfulness:.2f} (1: the circuit does "
        f"as much as the network), without the circuit {score.incompleteness:.2f} (0: nothing is "
        "missing from it)."
    )


def _spread(values: Sequence[float]) -> str:
    """Return mean and range; a silenced unit counts as 0."""
    if not values:
        return "-"
    known = [0.0 if math.isnan(value) else value for value in values]
    return f"{sum(known) / len(known):.2f} ({min(known):.2f} to {max(known):.2f})"
