"""A copy of a network made fast for one render: frozen, folded, in the memory layout that suits.

Hooks that the user placed on the network are copied along and run.

The user's network is only read. The copy gives the same activations at the sites asked for,
within rounding; convolutions and norms that are sites themselves are left alone.
"""

import copy
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.fusion import fuse_conv_bn_eval

from featviz.borrowing import borrowed
from featviz.errors import ModelError, is_out_of_memory
from featviz.models.local_response_norm import LocalResponseNorm
from featviz.models.model import Model
from featviz.pixel_blocks import PixelBlockConv2d, suits
from featviz.recording import Recorder
from featviz.sites import Site
from featviz.tracing import ActivationWatch, Trace


class InferenceCopy:
    """Runs images up to the last site; use it in a `with` block.

    Args:
        model: The model to copy.
        sites: Resolved sites.
        trace: What one pass through the network showed.
        dtype: What convolutions and matrix products compute in, float32 or bfloat16.
        reduce: What to keep of an activation, see `Recorder`.

    Attributes:
        folded: How many batch norms went into their convolutions.
        dtype: What convolutions and matrix products compute in.
        recorder: Runs preprocessed images through the copy.

    Raises:
        ModelError: If the network cannot be copied.
    """

    def __init__(
        self,
        model: Model,
        sites: Sequence[Site],
        *,
        trace: Trace,
        dtype: torch.dtype,
        reduce: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.dtype = dtype
        self._device = model.device
        with borrowed(model.module):
            try:
                network = copy.deepcopy(model.module)
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:
                raise ModelError(
                    f"cannot copy {model.name!r} for rendering: {error}; detach tensors that the "
                    "module keeps as attributes, or build it by a factory"
                ) from error
            network.requires_grad_(False).float()
            kept = {part.path for site in sites for part in site.parts}
            self.folded = _fold(network, trace.foldable, kept)
            _replace_response_norms(network)
            if self._device.type == "cpu":
                _replace_strided_stems(network, trace)
            if dtype != torch.float32:
                _cast_products(network, dtype)
            network.to(memory_format=torch.channels_last)
        self._redirecting = ActivationWatch()
        self.recorder = Recorder(network, sites, reduce=reduce)
        self._plain_watch = self.recorder.watch
        pre = model.spec.preprocess
        shape = (1, -1, 1, 1)
        mean, std = torch.tensor(pre.mean).view(shape), torch.tensor(pre.std).view(shape)
        self._gain = (pre.scale / std).to(self._device)
        self._offset = (-mean / std).to(self._device)
        self._flip = pre.channel_order == "BGR"

    def __enter__(self) -> "InferenceCopy":
        """Place the hooks, on the copy."""
        self.recorder.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the hooks."""
        self.recorder.__exit__(kind, error, traceback)

    def __call__(
        self, images: Float[Tensor, "b c h w"], *, asleep: Bool[Tensor, " b"] | None = None
    ) -> dict[str, Tensor]:
        """Return the activation at each site, in the precision that the network computes in.

        Args:
            images: Values 0..1.
            asleep: Images for which ReLUs that block all of the gradient let some through; None
                for none.
        """
        ordered = images.flip(1) if self._flip else images
        laid_out: Tensor = _NetworkInput.apply(ordered, self._gain, self._offset, self.dtype)
        # Out here: networks may change their input in place, which no view from inside allows.
        x = laid_out.movedim(-1, 1)
        self._redirecting.asleep = asleep
        self.recorder.watch = self._plain_watch if asleep is None else self._redirecting
        low = self.dtype != torch.float32
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=low):
            try:
                return self.recorder(x)
            # A network may raise anything.
            except Exception as error:
                if len(x) > 1 and not is_out_of_memory(error):
                    error.add_note(
                        f"It came when {len(x)} images ran through the network at a time; if it "
                        "takes but one, pass --batch 1 (batch=1 in Python)."
                    )
                raise


class _NetworkInput(torch.autograd.Function):
    """Normalise, cast and change the memory layout to [b h w c] in one pass each way.

    Left to autograd, the gradient is cast, scaled and laid out by one copy after the other.
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, gain: Tensor, offset: Tensor, dtype: torch.dtype
    ) -> Tensor:
        ctx.save_for_backward(gain)
        normal = torch.addcmul(offset, images, gain)
        laid_out = normal.movedim(1, -1)
        if not laid_out.is_contiguous():
            # Stacked like this because changing the layout by a copy takes three times as long.
            laid_out = torch.stack(normal.unbind(1), dim=-1)
        return laid_out.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (gain,) = ctx.saved_tensors
        (grad,) = grads
        laid_out = grad.movedim(-1, 1).to(gain.dtype, memory_format=torch.contiguous_format)
        return laid_out * gain, None, None, None


def _owner(network: nn.Module, path: str) -> tuple[nn.Module, str]:
    parent, _, name = path.rpartition(".")
    return network.get_submodule(parent), name


def _fold(network: nn.Module, pairs: Sequence[tuple[str, str]], kept: set[str]) -> int:
    """Fold batch norms into their convolutions where neither is a site; return how many."""
    folded = 0
    for conv_path, norm_path in pairs:
        conv, norm = network.get_submodule(conv_path), network.get_submodule(norm_path)
        rest = _without_norm(norm)
        if rest is None or not isinstance(conv, nn.Conv2d) or _has_hooks(conv, norm):
            continue
        # A site that holds the convolution but not its norm may give what lies between them.
        if any(_holds(site, conv_path) and not _holds(site, norm_path) for site in kept):
            continue
        fused = fuse_conv_bn_eval(conv, _plain_norm(norm))
        for path, module in ((conv_path, fused), (norm_path, rest)):
            parent, name = _owner(network, path)
            setattr(parent, name, module)
        folded += 1
    return folded


def _holds(site: str, path: str) -> bool:
    return site == path or path.startswith(f"{site}.")


def _has_hooks(*modules: nn.Module) -> bool:
    """Tell whether the user hooked a module: what its hook sees and changes must stay the same."""
    return any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def _without_norm(norm: nn.Module) -> nn.Module | None:
    """Return what a norm module does besides normalising; None if that is not known."""
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity()
    if type(norm).__name__ == "BatchNormAct2d":  # timm: norm, dropout, activation in one module
        parts: Any = norm
        return nn.Sequential(parts.drop, parts.act)
    return None


def _plain_norm(norm: nn.Module) -> nn.BatchNorm2d:
    """Return a module that normalises as this one, in eval mode, and does nothing else."""
    source: Any = norm
    plain = nn.BatchNorm2d(source.num_features, eps=source.eps, affine=source.affine)
    plain.running_mean, plain.running_var = source.running_mean, source.running_var
    plain.weight, plain.bias = source.weight, source.bias
    return plain.eval()


def _replace_response_norms(network: nn.Module) -> None:
    for path, module in list(network.named_modules()):
        if type(module) is nn.LocalResponseNorm:
            parent, name = _owner(network, path)
            fast = LocalResponseNorm(module.size, module.alpha, module.beta, module.k)
            setattr(parent, name, fast)


def _replace_strided_stems(network: nn.Module, trace: Trace) -> None:
    for path, module in list(network.named_modules()):
        # One that is not called is there for its weights alone.
        if suits(module) and not _has_hooks(module) and trace.of(path):
            parent, name = _owner(network, path)
            setattr(parent, name, PixelBlockConv2d(module))


def _cast_products(network: nn.Module, dtype: torch.dtype) -> None:
    """Cast the weights of convolutions and matrix products once, not at every step."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | PixelBlockConv2d):
            module.to(dtype)
