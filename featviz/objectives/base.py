"""What every objective offers, and their algebra: sums, products and quotients."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.models.model import Model
from featviz.objectives.activations import Activations, Part, Score
from featviz.objectives.spelling import shortest
from featviz.sites import Site


class Objective(ABC):
    """A score to maximise; see the module docstring."""

    @property
    @abstractmethod
    def sites(self) -> tuple[str, ...]:
        """Names of the sites it reads, each once."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Readable text of the expression."""

    @property
    def parts(self) -> "tuple[Objective, ...]":
        """The objectives that it is made of; what holds for one of them holds for it."""
        return ()

    @property
    def joint(self) -> bool:
        """Whether an image's score also depends on the other images of the same objective."""
        return any(part.joint for part in self.parts)

    @property
    def looks_back(self) -> bool:
        """Whether it reads gradients at a site, not activations alone; see facets.py."""
        return any(part.looks_back for part in self.parts)

    @property
    def placed(self) -> bool:
        """Whether it is tied to places on the map, which images of another size have elsewhere."""
        return any(part.placed for part in self.parts)

    @property
    def files(self) -> dict[str, str]:
        """The files that it was read from, as they were named, with their SHA-256."""
        return {name: sha256 for part in self.parts for name, sha256 in part.files.items()}

    @abstractmethod
    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the score of each image, all with this same objective."""

    def bound(self, device: torch.device) -> Score:
        """Return `score` with all that it needs on a device; subclasses that hold tensors do."""
        del device
        return self.score

    @abstractmethod
    def check(self, sites: Mapping[str, Site]) -> None:
        """Raise an error if a site cannot serve it.

        Args:
            sites: The resolved sites, by name.

        Raises:
            UnitError: If a channel or position is out of range.
            ObjectiveError: If a direction has the wrong length.
        """

    def prepared(self, model: Model, *, size: tuple[int, int]) -> "Objective":
        """Return an objective that has what it needs to score, such as activations of a photograph.

        Args:
            model: The model that will be rendered.
            size: Height and width of the images in pixels.
        """
        del model, size
        return self

    @classmethod
    def bind_rows(cls, objectives: Sequence["Objective"], device: torch.device) -> Score:
        """Return a function that scores image k by objective k; subclasses vectorise it."""
        bound = [objective.bound(device) for objective in objectives]

        def rows(activations: Activations) -> Float[Tensor, " b"]:
            # unbind, because the backward pass of indexing allocates the whole batch each time
            split = {name: tensor.float().unbind(0) for name, tensor in activations.items()}
            scores = []
            for k, objective in enumerate(objectives):
                found = {name: split[name][k][None] for name in objective.sites}
                part = Part(found, whole=activations, rows=slice(k, k + 1))
                scores.append(bound[k](part))
            return torch.cat(scores)

        return rows

    def __str__(self) -> str:
        """Return the label."""
        return self.label

    def __add__(self, other: "Objective | float") -> "Objective":
        """Add an objective or a number."""
        return _sum(self, other, 1.0) if _is_operand(other) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: "Objective | float") -> "Objective":
        """Subtract an objective or a number."""
        return _sum(self, other, -1.0) if _is_operand(other) else NotImplemented

    def __rsub__(self, other: float) -> "Objective":
        """Subtract from a number."""
        return _sum(-self, other, 1.0) if _is_operand(other) else NotImplemented

    def __neg__(self) -> "Objective":
        """Minimise instead."""
        return self * -1

    def __mul__(self, other: "Objective | float") -> "Objective":
        """Multiply by an objective or a number."""
        if isinstance(other, Objective):
            return Product(self, other)
        if not _is_number(other):
            return NotImplemented
        constant, terms = _as_sum(self)
        return _as_plain(
            Sum(float(constant * other), tuple((k * other, term) for k, term in terms))
        )

    __rmul__ = __mul__

    def __truediv__(self, other: "Objective | float") -> "Objective":
        """Divide by an objective or a number.

        Raises:
            ObjectiveError: If the number is 0.
        """
        if isinstance(other, Objective):
            return Quotient(self, other)
        if not _is_number(other):
            return NotImplemented
        if other == 0:
            raise ObjectiveError(f"cannot divide {self.label!r} by 0")
        return self * (1 / other)

    def __rtruediv__(self, other: float) -> "Objective":
        """Divide a number by it."""
        if not _is_number(other):
            return NotImplemented
        return Quotient(Sum(float(other), ()), self)


def _is_operand(value: object) -> bool:
    return isinstance(value, Objective) or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_sum(objective: Objective) -> tuple[float, tuple[tuple[float, Objective], ...]]:
    if isinstance(objective, Sum):
        return objective.constant, objective.terms
    return 0.0, ((1.0, objective),)


def _as_plain(total: "Sum") -> Objective:
    """Return the term of a sum that is nothing but it, so that `a * 1` and `a + 0` are `a`."""
    if len(total.terms) == 1 and not total.constant and total.terms[0][0] == 1:
        return total.terms[0][1]
    return total


def _sum(left: Objective, right: Objective | float, sign: float) -> Objective:
    constant, terms = _as_sum(left)
    if isinstance(right, Objective):
        more, right_terms = _as_sum(right)
        # Flat, not nested: a sum of a thousand terms must not recurse a thousand deep.
        signed = tuple((sign * k, term) for k, term in right_terms)
        return _as_plain(Sum(constant + sign * more, terms + signed))
    return _as_plain(Sum(constant + sign * right, terms))


@dataclass(frozen=True)
class Sum(Objective):
    """A weighted sum and a constant; made by + and -."""

    constant: float
    terms: tuple[tuple[float, Objective], ...]

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites of all terms."""
        return tuple(dict.fromkeys(site for _, term in self.terms for site in term.sites))

    @property
    def label(self) -> str:
        """`fire4:5 + 3*fire4:9`."""
        parts = [_weighted(k, term) for k, term in self.terms]
        if self.constant or not parts:
            parts.append(f"{'-' if self.constant < 0 else '+'} {shortest(abs(self.constant))}")
        return " ".join(parts).removeprefix("+ ").replace("- ", "-", 1 if parts[0][0] == "-" else 0)

    @property
    def parts(self) -> tuple[Objective, ...]:
        """The terms."""
        return tuple(term for _, term in self.terms)

    def prepared(self, model: Model, *, size: tuple[int, int]) -> Objective:
        """Prepare every term."""
        return Sum(self.constant, tuple((k, t.prepared(model, size=size)) for k, t in self.terms))

    def check(self, sites: Mapping[str, Site]) -> None:
        """Check every term."""
        for _, term in self.terms:
            term.check(sites)

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the sum."""
        return self._total([term.score for _, term in self.terms], activations)

    def bound(self, device: torch.device) -> Score:
        """Bind every term."""
        if not self.terms:
            constant = torch.tensor(self.constant, device=device)
            return lambda _: constant
        return partial(self._total, [term.bound(device) for _, term in self.terms])

    def _total(self, scores: Sequence[Score], activations: Activations) -> Float[Tensor, "*b"]:
        total: Tensor | float = self.constant
        for (k, _), score in zip(self.terms, scores, strict=True):
            total = total + k * score(activations)
        return total if isinstance(total, Tensor) else torch.tensor(total)


def _weighted(k: float, term: Objective) -> str:
    sign, size = ("-", -k) if k < 0 else ("+", k)
    if size == 1:
        return f"{sign} {term.label}"
    # 2*(a) * (b) would read back as the product of 2*a and b.
    label = f"({term.label})" if isinstance(term, _Pair) else term.label
    return f"{sign} {shortest(size)}*{label}"


@dataclass(frozen=True)
class _Pair(Objective):
    """Two objectives that belong together."""

    left: Objective
    right: Objective

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites of both."""
        return tuple(dict.fromkeys(self.left.sites + self.right.sites))

    @property
    def parts(self) -> tuple[Objective, ...]:
        """Both."""
        return (self.left, self.right)

    def prepared(self, model: Model, *, size: tuple[int, int]) -> Objective:
        """Prepare both."""
        left = self.left.prepared(model, size=size)
        return type(self)(left, self.right.prepared(model, size=size))

    def check(self, sites: Mapping[str, Site]) -> None:
        """Check both."""
        self.left.check(sites)
        self.right.check(sites)

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Score both, and combine."""
        return self.combined(self.left.score(activations), self.right.score(activations))

    def bound(self, device: torch.device) -> Score:
        """Bind both."""
        left, right = self.left.bound(device), self.right.bound(device)
        return lambda activations: self.combined(left(activations), right(activations))

    @staticmethod
    @abstractmethod
    def combined(left: Tensor, right: Tensor) -> Tensor:
        """Return the score of the pair from both scores."""


class Product(_Pair):
    """The product of two objectives; made by *."""

    @property
    def label(self) -> str:
        """`(fire4:5) * (fire4:9)`."""
        return f"({self.left.label}) * ({self.right.label})"

    @staticmethod
    def combined(left: Tensor, right: Tensor) -> Tensor:
        """Return the product."""
        return left * right


class Quotient(_Pair):
    """The quotient of two objectives; made by /."""

    @property
    def label(self) -> str:
        """`(fire4:5) / (fire4:9)`."""
        return f"({self.left.label}) / ({self.right.label})"

    @staticmethod
    def combined(left: Tensor, right: Tensor) -> Tensor:
        """Return the quotient; not a number where the divisor is 0."""
        return left / right
