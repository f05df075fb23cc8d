"""The agreement of gate policies as a table, as text and as data for JSON."""

import math
from collections.abc import Sequence

from circuits.graphs.gate_agreement import GateAgreement

TITLE = "Do the gates matter?"


def gate_heads(agreement: GateAgreement) -> tuple[str, ...]:
    """Return the heads of the table."""
    tops = sorted({row.top for row in agreement.rows})
    same = f"same top {' or '.join(map(str, tops))}"
    return ("from -> to", "units", "gates", "correlation", "by chance", same, "by chance")


def gate_rows(agreement: GateAgreement) -> list[list[str]]:
    """Return the table as text: means over the units, and their range where there are several."""
    return [
        [
            f"{row.source} -> {row.target}",
            str(len(row.units)),
            " / ".join(row.gates),
            _spread(row.correlation),
            _mean_text(row.chance_correlation),
            _spread(row.overlap),
            f"{row.chance_overlap:.2f}",
        ]
        for row in agreement.rows
    ]


def gate_text(agreement: GateAgreement) -> str:
    """Return what the table means; or that no gate lies between."""
    adjacent = ", ".join(f"{source} -> {target}" for source, target in agreement.adjacent)
    if not agreement.rows and not agreement.notes:
        if not agreement.adjacent:
            return "The graph has no edges, so no gate policy matters."
        return (
            f"No gate lies between: all columns are adjacent ({adjacent}), so the kernels are the "
            "network's own and depend on no gate policy."
        )
    text = (
        "Between sites that are not adjacent, a kernel depends on what one takes the gates between "
        f"for: the graph was built with {agreement.gates[0]}, and where another policy gives "
        "weights of low correlation (1: the same; by chance: inputs shuffled) or other strongest "
        "inputs, the picture owes that much to the choice and not to the network."
    )
    if any(math.isnan(value) for row in agreement.rows for value in row.correlation):
        text += " Units without weights under a policy, such as silent ones, do not count."
    if adjacent:
        text += f" No gate lies between {adjacent}: adjacent."
    return text


def gate_document(agreement: GateAgreement) -> dict[str, object]:
    """Return it as plain data for JSON; what is not a number becomes null."""
    return {
        "gates": list(agreement.gates),
        "rows": [
            {
                "source": row.source,
                "target": row.target,
                "units": list(row.units),
                "gates": list(row.gates),
                "correlation": [_plain(value) for value in row.correlation],
                "chance_correlation": [_plain(value) for value in row.chance_correlation],
                "top": row.top,
                "overlap": [_plain(value) for value in row.overlap],
                "chance_overlap": row.chance_overlap,
            }
            for row in agreement.rows
        ],
        "adjacent": [list(pair) for pair in agreement.adjacent],
        "notes": list(agreement.notes),
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _mean_text(values: Sequence[float]) -> str:
    known = _known(values)
    return f"{sum(known) / len(known):.2f}" if known else "-"


def _spread(values: Sequence[float]) -> str:
    known = _known(values)
    if not known:
        return "no weights"
    silent = len(values) - len(known)
    several = f" ({min(known):.2f} to {max(known):.2f})" if len(known) > 1 else ""
    return _mean_text(known) + several + (f", {silent} without" if silent else "")
