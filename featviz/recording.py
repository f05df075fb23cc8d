"""Run a network and keep what its sites gave: one pass, which ends at the last of them."""

from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from featviz.errors import SiteError
from featviz.sites import Part, Site
from featviz.tracing import ActivationWatch, first_tensor


class _LastSiteReachedError(BaseException):
    """Ends the forward pass; not an Exception, so that no network can swallow it."""


class Recorder:
    """Run a network and keep its activations at some sites; use it in a `with` block.

    One hook a module while the block lasts, none afterwards. The network's mode and gradients
    are the caller's business.

    Args:
        network: The module itself, without preprocessing.
        sites: Resolved sites.
        watch: Sees the functions of the network; needed for `.pre` sites and for redirected
            gradients, made when None and needed.
        reduce: What to keep of an activation, [b c h w] or [b c] -> [b c ...]; None for all of
            it. It runs at the site, so that the map itself need not be kept.
    """

    def __init__(
        self,
        network: nn.Module,
        sites: Iterable[Site],
        *,
        watch: ActivationWatch | None = None,
        reduce: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._network = network
        self._sites = tuple(sites)
        self._wanted = {part for site in self._sites for part in site.parts}
        needs_watch = any(part.pre for part in self._wanted)
        self.watch = watch or (ActivationWatch() if needs_watch else None)
        self._reduce = reduce
        self._found: dict[Part, Tensor] = {}
        self._counts: Counter[str] = Counter()
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> "Recorder":
        """Place the hooks."""
        for path in {part.path for part in self._wanted}:
            module = self._network.get_submodule(path)
            self._handles.append(module.register_forward_hook(self._hook_for(path)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the hooks and forget the activations."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._forget()

    def _forget(self) -> None:
        self._found.clear()
        self._counts.clear()
        if self.watch:
            self.watch.clear()

    def _hook_for(self, path: str) -> Callable[[nn.Module, object, object], Tensor | None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            index = self._counts[path]
            self._counts[path] += 1
            wanted = [p for p in self._wanted if p.path == path and p.index == index]
            for part in wanted:
                tensor = first_tensor(output)
                if part.pre and tensor is not None and self.watch:
                    tensor = self.watch.pre_activation(tensor)
                if tensor is None:
                    raise SiteError(f"{part.path!r} gave no tensor to record in this pass")
                self._found[part] = self._reduce(tensor) if self._reduce else tensor
            if len(self._found) == len(self._wanted):
                raise _LastSiteReachedError
            go_on = None
            for part in () if self._reduce else wanted:
                tensor = self._found[part]
                # A later in-place operation may overwrite what was captured.
                self._found[part] = tensor.clone()
                if tensor is output and tensor.requires_grad:
                    # From there on, so that later activations have a gradient at this site.
                    go_on = self._found[part].clone()
            return go_on

        return hook

    def __call__(self, network_input: Shaped[Tensor, "..."]) -> dict[str, Tensor]:
        """Run the network up to its last site and return the activation at each site.

        Raises:
            SiteError: If the pass did not reach one of the sites.
        """
        self._forget()
        try:
            if self.watch:
                with self.watch:
                    self._network(network_input)
            else:
                self._network(network_input)
        except _LastSiteReachedError:
            pass
        missing = self._wanted - self._found.keys()
        if missing:
            names = ", ".join(sorted(f"{p.path}#{p.index}" for p in missing))
            raise SiteError(f"the network did not reach {names} in this pass; it chose another way")
        found = {site.name: self._assemble(site) for site in self._sites}
        self._forget()
        return found

    def _assemble(self, site: Site) -> Tensor:
        parts = [self._found[part] for part in site.parts]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return whole if site.channels == whole.shape[1] else whole[:, slice(*site.span)]
