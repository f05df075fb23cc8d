"""A check of a circuit as tables, as text and as data for JSON."""

import math
from collections.abc import Sequence

from circuits.graphs.check import CheckRow, CircuitCheck
from circuits.graphs.probe import count_units
from circuits.graphs.verdict import RULE, Verdict

TITLE = "Is it true?"
HEADS = (
    "only these units on", "kept", "correlation", "as many at random", "in the shuffled network",
    "with random weights",
)  # fmt: skip
SCORE_HEADS = ("all columns together", "circuit", "should be", "as many at random")
TERMS = {
    "correlation": "whether the target, with only the circuit's units on, is still strong and weak "
    "on the same images as in the whole network (1: exactly the same; 0: no relation).",
    "faithfulness": "the share of the target's mean activation that the circuit alone brings (1: "
    "as much as the whole network; above 1: more, such as when what inhibits it was left out).",
    "incompleteness": "the share that all other units bring without the circuit (0: nothing is "
    "missing from the circuit).",
    "minimality": "the share that changes when one unit is left out of the circuit, for the middle "
    "one of its units (0: half of them were not needed).",
}
"""What the numbers of a check mean, one sentence each."""
_SHOULD_BE = {"faithfulness": "1", "incompleteness": "0", "minimality": "large"}


def check_document(check: CircuitCheck) -> dict[str, object]:
    """Return a check as plain data for JSON; what is not a number becomes null."""
    score = check.faithfulness
    return {
        "target": check.target,
        "images": check.images,
        "checked_on": check.checked_on,
        "chosen_on": check.chosen_on,
        "why_not_held_out": check.why_not or None,
        "ablation": check.ablation,
        "verdict": check_headline(check),
        "rule": RULE,
        "rows": [
            {
                "sites": list(row.sites),
                "kept": row.kept,
                "total": row.total,
                "correlation": _plain(row.correlation),
                "random": [_plain(value) for value in row.random],
                "shuffled": [_plain(value) for value in row.shuffled],
                "random_weights": [_plain(value) for value in row.random_weights],
                "verdict": _verdict_document(row.verdict, row_verdict(check, row)),
            }
            for row in check.rows
        ],
        "faithfulness": None if score is None else score.faithfulness,
        "incompleteness": None if score is None else score.incompleteness,
        "minimality": None if score is None else dict(score.minimality),
        "median_minimality": None if score is None else score.median_minimality,
        "random_faithfulness": [] if score is None else list(score.random_faithfulness),
        "random_incompleteness": [] if score is None else list(score.random_incompleteness),
        "random_minimality": [] if score is None else list(score.random_minimality),
        "verdicts": {
            name: _verdict_document(verdict, text)
            for name, (_, verdict, text) in _scores(check).items()
        },
    }


def _verdict_document(verdict: Verdict, text: str) -> dict[str, object]:
    return {
        "better": verdict.better,
        "beaten": verdict.beaten,
        "draws": verdict.draws,
        "p_value": verdict.p_value,
        "text": text,
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def check_rows(check: CircuitCheck) -> list[list[str]]:
    """Return the table of a check as text, columns as in HEADS."""
    return [
        [
            _name(row),
            f"{row.kept} of {row.total}",
            "silent" if math.isnan(row.correlation) else f"{row.correlation:.2f}",
            _spread(row.random),
            _spread(row.shuffled),
            _spread(row.random_weights),
        ]
        for row in check.rows
    ]


def _name(row: CheckRow) -> str:
    """Return the sites as the columns of the picture name them, and those that it leaves out."""
    drawn = " + ".join(site for site in row.sites if site not in row.empty)
    if not row.empty:
        return drawn
    return f"{drawn or 'none'} (none of {', '.join(row.empty)})"


def score_rows(check: CircuitCheck) -> list[list[str]]:
    """Return the table of the scores as text, columns as in SCORE_HEADS; empty if none is."""
    score = check.faithfulness
    if score is None:
        return []
    random = {
        "faithfulness": score.random_faithfulness,
        "incompleteness": score.random_incompleteness,
        "minimality": score.random_minimality,
    }
    return [
        [name, f"{value:.2f}", _SHOULD_BE[name], _spread(random[name])]
        for name, (value, _, _) in _scores(check).items()
    ]


def _scores(check: CircuitCheck) -> dict[str, tuple[float, Verdict, str]]:
    """Return value, verdict and verdict in words of each score."""
    score = check.faithfulness
    if score is None:
        return {}
    values = {
        "faithfulness": score.faithfulness,
        "incompleteness": score.incompleteness,
        "minimality": score.median_minimality,
    }
    return {
        name: (value, verdict, f"{name} {value:.2f}: {verdict.text('this number')}.")
        for name, verdict in score.verdicts.items()
        if (value := values[name]) is not None
    }


def check_headline(check: CircuitCheck) -> str:
    """Return what a check says of the whole circuit, in one line."""
    return row_verdict(check, check.rows[-1])


def check_verdicts(check: CircuitCheck) -> list[str]:
    """Return what a check says of each column where there are several, and of each score."""
    columns = check.rows[:-1] if len(check.rows) > 2 else ()
    return [
        *(row_verdict(check, row) for row in columns),
        *(text for _, _, text in _scores(check).values()),
    ]


def row_verdict(check: CircuitCheck, row: CheckRow) -> str:
    """Return what one row says, in one line.

    Args:
        check: The check.
        row: One of its rows; the last one is about the whole picture.
    """
    whole = row is check.rows[-1]
    place = "all columns together" if whole and len(check.rows) > 2 else _name(row)
    units = "1 unit" if row.kept == 1 else f"{row.kept} units"
    head = f"Preservation by {units} of {row.total}, {place}: "
    if row.kept == row.total:
        return f"{head}{_number(row)}; no other choice of as many is there to compare with."
    said = row.verdict.text("this picture" if whole else "this column")
    best = max((v for v in (*row.shuffled, *row.random_weights) if not math.isnan(v)), default=-1.0)
    if row.verdict.better and best >= row.correlation:
        said += f"; but a circuit of a network without learnt order reaches {best:.2f}"
    return f"{head}{_number(row)}, {said}."


def _number(row: CheckRow) -> str:
    if math.isnan(row.correlation):
        return "the target falls silent"
    return f"correlation {row.correlation:.2f}"


def check_text(check: CircuitCheck) -> str:
    """Return what stands below the tables of a check: what was done."""
    count = count_units(check.target)
    whom = (
        f"{check.target} with itself in the whole network, over {check.images}"
        if count == 1
        else f"the {count} units {check.target} with themselves in the whole network, over these "
        f"units and {check.images} together, so that differences in level between units count too"
    )
    text = (
        f"Correlation of {whom}; other units of these sites set to "
        f"{'0' if check.ablation == 'zero' else 'their mean'}. {_held_out(check)} Beside it: as "
        "many units of each site at random, and circuits built alike in the network with its "
        "weights in other places, and with weights drawn anew."
    )
    if check.faithfulness is None:
        return f"{text} Faithfulness cannot be told: the mean is the same without the sites."
    return text


def _held_out(check: CircuitCheck) -> str:
    if check.chosen_on:
        return (
            f"Held out: {check.chosen_on} of them chose the units, and the check is on the other "
            f"{check.checked_on}; the more alike the images are, the milder this test is."
        )
    return (
        f"Not held out ({check.why_not}): the check is on all {check.checked_on}, which flatters a "
        "circuit that was chosen on them."
    )


def check_terms(check: CircuitCheck) -> list[tuple[str, str]]:
    """Return each number that a check shows and what it means, and the rule of the verdicts."""
    shown = {"correlation", *_scores(check)}
    return [*((name, text) for name, text in TERMS.items() if name in shown), ("rule", RULE)]


def _spread(values: Sequence[float]) -> str:
    """Return mean and range; a silenced unit counts as 0."""
    if not values:
        return "-"
    known = [0.0 if math.isnan(value) else value for value in values]
    return f"{sum(known) / len(known):.2f} ({min(known):.2f} to {max(known):.2f})"
