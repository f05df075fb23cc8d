"""How `featviz circuit graph` builds circuits, and checks one beside those of other networks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from torch import Tensor

    from circuits.cli.graph_images import GraphImages
    from circuits.graphs.check import CircuitCheck
    from circuits.graphs.graph import CircuitGraph
    from circuits.graphs.input_scores import ContributionScore
    from featviz.models import Model


class Builder:
    """Builds circuits in the same way in several networks; of one, activations are kept.

    Args:
        score: Of `build_graph`.
        images: Likewise.
        ways: The other arguments of `build_graph`.
        progress: Whether to show a bar on stderr.
    """

    def __init__(
        self, score: str, images: "Tensor | None", ways: dict[str, Any], *, progress: bool
    ) -> None:
        self._score, self._images = score, images
        self._ways = {**ways, "progress": progress}
        self._kept: ContributionScore | None = None

    def __call__(self, network: "Model", unit: str) -> "CircuitGraph":
        """Return the circuit of units of a network."""
        from circuits.graphs.building import build_graph

        way = self._score_of(network)
        return build_graph(network, unit, score=way, images=self._images, **self._ways)

    def _score_of(self, network: "Model") -> "str | ContributionScore":
        from circuits.graphs.input_scores import ContributionScore

        if self._score != "contribution" or self._images is None:
            return self._score
        if self._kept is None or self._kept.model is not network:
            self._kept = ContributionScore(network, self._images)
        return self._kept

    def check(
        self,
        model: "Model",
        found: "CircuitGraph",
        seen: "GraphImages",
        say: "Callable[[str], None]",
        **how: Any,
    ) -> "CircuitCheck | None":
        """Return the check of a circuit; None where there are no images.

        Args:
            model: The network.
            found: Its circuit.
            seen: Images.
            say: Is told that the check begins.
            how: Of `check_circuit`.
        """
        from circuits.graphs.check import check_circuit

        if seen.halves is None:
            return None
        say("checking, beside networks with shuffled and with random weights")
        how |= {"told": seen.told, "region": seen.region, "minimality": True}
        quiet = Builder(self._score, self._images, self._ways, progress=False)
        with tqdm(disable=not self._ways["progress"], desc=f"{model.name} check") as bar:

            def tell(done: int, parts: int) -> None:
                bar.total = parts
                bar.update(done - bar.n)

            return check_circuit(model, found, seen.halves, rebuild=quiet, on_progress=tell, **how)
