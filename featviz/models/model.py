"""A network ready for use: preprocessing inside, places with names, nothing left behind."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from featviz.borrowing import borrowed, cpu_by_default
from featviz.errors import ModelError, is_out_of_memory, too_large
from featviz.models.spec import ModelSpec
from featviz.recording import Recorder
from featviz.sites import Site, SiteTable
from featviz.tracing import Trace, first_tensor, trace

_TRACES_KEPT = 8
# What networks raise at a size that they do not take; other errors come at any size.
_ERRORS_OF_SIZE = (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError)


class Model(nn.Module):
    """A network that takes images in 0..1.

    Args:
        module: The network itself. It is used, not copied, and never changed.
        spec: What featviz knows about it.
        weights_origin: Where its weights came from, for records.
        arguments: What loads this model on the command line, name first; None for a module that
            was handed over.

    Attributes:
        module: The network itself.
        spec: What featviz knows about it.
        weights_origin: Where its weights came from.
        arguments: What loads it on the command line, or None.

    Raises:
        ModelError: If the network has parameters without values.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: ModelSpec,
        *,
        weights_origin: str,
        arguments: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__()
        _check_values(module, spec.name)
        self.arguments = arguments
        self.module = module
        self.spec = spec
        self.weights_origin = weights_origin
        self._traces: dict[tuple[object, ...], Trace] = {}

    @property
    def name(self) -> str:
        """The name that users type."""
        return self.spec.name

    @property
    def device(self) -> torch.device:
        """Where the parameters are; the CPU for a network without any.

        Raises:
            ModelError: If they are on several devices.
        """
        tensors = [*self.module.parameters(), *self.module.buffers()]
        devices = {tensor.device for tensor in tensors}
        if len(devices) > 1:
            names = ", ".join(sorted(map(str, devices)))
            raise ModelError(
                f"{self.name!r} is spread over several devices ({names}); move it to one with "
                ".to(device)"
            )
        return devices.pop() if devices else torch.device("cpu")

    def network_input(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Turn images in 0..1 into the network's input: preprocessing of its spec, its dtype."""
        pre = self.spec.preprocess
        if pre.channel_order == "BGR":
            images = images.flip(1)
        mean = images.new_tensor(pre.mean).view(1, -1, 1, 1)
        std = images.new_tensor(pre.std).view(1, -1, 1, 1)
        dtype = next((p.dtype for p in self.module.parameters()), images.dtype)
        return ((images * pre.scale - mean) / std).to(dtype)

    def forward(self, images: Shaped[Tensor, "*shape"]) -> Tensor:
        """Return the network's output, usually logits, in eval mode with frozen parameters.

        Args:
            images: RGB (or the network's own channels), 0..1, on the network's device.

        Raises:
            ModelError: If the images have the wrong type, shape, range or device.
        """
        self._check_images(images)
        with borrowed(self.module):
            output = self.module(self.network_input(images))
        return output if isinstance(output, Tensor) else _only_tensor(output, self.name)

    def record(self, images: Shaped[Tensor, "*shape"], sites: Sequence[str]) -> dict[str, Tensor]:
        """Return the activation at each site, stopping after the last of them.

        The network runs in eval mode with frozen parameters and is restored afterwards; the
        activations are differentiable where `images` require gradients.

        Args:
            images: RGB (or the network's own channels), 0..1, on the network's device.
            sites: Site names, see sites.py.

        Returns:
            Site name -> activation, [b c h w] or [b c].

        Raises:
            ModelError: If the images have the wrong type, shape, range or device.
            SiteError: If a site is unknown or ambiguous.
        """
        if isinstance(sites, str):
            raise ModelError(f"sites must be a list of names; write [{sites!r}]")
        names = list(sites) if isinstance(sites, Iterable) else [sites]
        if not isinstance(sites, Iterable) or not all(isinstance(name, str) for name in names):
            raise ModelError(f"sites must be a list of names such as ['fire4'], got {sites!r}")
        self._check_images(images)
        table = self.site_table((images.shape[2], images.shape[3]))
        resolved = [table.resolve(name) for name in names]
        with borrowed(self.module), Recorder(self.module, resolved) as recorder:
            return recorder(self.network_input(images))

    def trace(self, size: tuple[int, int] | None = None) -> Trace:
        """Return what one pass at an image size shows; the last ones are kept.

        Args:
            size: Height and width in pixels; None for the spec's.

        Raises:
            ModelError: If the network cannot run at this size, or cannot be looked into.
            RenderError: If memory does not suffice.
        """
        size = size or self.spec.size
        _check_open(self.module, self.name)
        # The modules belong to the key, so that an edited network is traced anew.
        key = (*size, *map(id, self.module.modules()))
        if key not in self._traces:
            while len(self._traces) >= _TRACES_KEPT:
                del self._traces[next(iter(self._traces))]
            self._traces[key] = self._run_trace(size)
        return self._traces[key]

    def _run_trace(self, size: tuple[int, int]) -> Trace:
        # A fixed texture, not zeros: some networks divide by the spread of their input.
        device = self.device
        try:
            # What is kept must serve gradients later, whatever mode the user is in now.
            with torch.inference_mode(False), cpu_by_default(), borrowed(self.module):
                ramp = torch.linspace(0, 1, size[0] * size[1]).view(1, 1, *size)
                image = self.network_input(ramp.expand(1, self.spec.channels, *size).to(device))
                return trace(self.module, image)
        # A network may raise anything.
        except Exception as error:
            if is_out_of_memory(error):
                raise too_large(self.name, size) from error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            advice = "correct its forward(), which must take one batch of images"
            raise ModelError(
                f"{self.name!r} cannot run on a {self.spec.channels}x{size[0]}x{size[1]} image: "
                f"{reason}; "
                + ("give another size" if isinstance(error, _ERRORS_OF_SIZE) else advice)
            ) from error

    def site_table(self, size: tuple[int, int] | None = None) -> SiteTable:
        """Return the names of the network's places; maps and fields are those at `size`."""
        return SiteTable(self.trace(size), self.spec.sites, model_name=self.name)

    def sites(self, *, every: bool = False) -> list[Site]:
        """Return the browsable sites in network order.

        Args:
            every: Also list what browsing leaves out.
        """
        table = self.site_table()
        return [table.resolve(name) for name in table.names(every=every)]

    def _check_images(self, images: object) -> None:
        expected = f"images must be [b {self.spec.channels} h w], floating point, 0..1"
        if not isinstance(images, Tensor):
            raise ModelError(
                f"{expected}; got a {type(images).__name__}, which is no tensor; make one with "
                "torch.as_tensor"
            )
        if images.dim() != 4 or images.shape[1] != self.spec.channels:
            raise ModelError(
                f"{expected}; got shape {tuple(images.shape)}"
                + ("; add a batch axis with images[None]" if images.dim() == 3 else "")
            )
        if not images.is_floating_point():
            raise ModelError(f"{expected}; got {images.dtype}; divide by 255")
        if images.device != self.device:
            raise ModelError(
                f"the images are on {images.device}, {self.name!r} is on {self.device}; move one "
                "with .to(device)"
            )
        if images.numel() and images.detach().abs().max() > 2:
            raise ModelError(
                f"{expected}; the largest magnitude is {images.detach().abs().max().item():.4g}; "
                "divide 0..255 images by 255, and do not normalise: featviz does"
            )


def _check_values(network: nn.Module, name: str) -> None:
    """Raise ModelError if there is nothing in the parameters of a network."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    for path, tensor in tensors:
        if is_lazy(tensor):
            raise ModelError(
                f"{path!r} in {name!r} has no shape before the first batch; run one through the "
                "network, then give it here"
            )
    if tensors and all(tensor.is_meta for _, tensor in tensors):
        raise ModelError(
            f"{name!r} has no values, since it was built on the device 'meta'; build it on "
            "another, and load its weights"
        )


def _check_open(network: nn.Module, name: str) -> None:
    """Raise ModelError if a network keeps hooks or gradients out."""
    for path, module in network.named_modules():
        where = f"{path!r} in {name!r}" if path else repr(name)
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{where} was scripted or traced by torch.jit, which hides what happens inside; "
                "give the original module"
            )
        # torch.compile(module) wraps it, module.compile() changes it in place.
        if "_orig_mod" in module._modules or module._compiled_call_impl is not None:
            raise ModelError(
                f"{where} was compiled, which hides what happens inside; give the original "
                "module, as it was before torch.compile"
            )
    inference = any(parameter.is_inference() for parameter in network.parameters())
    if inference and not torch.is_inference_mode_enabled():
        raise ModelError(
            f"{name!r} was built inside torch.inference_mode(), so nothing that it computes has a "
            "gradient; build it outside, or inside torch.no_grad()"
        )


def _only_tensor(output: object, name: str) -> Tensor:
    tensor = first_tensor(output)
    if tensor is None:
        raise ModelError(f"{name!r} returned {type(output).__name__}, which holds no tensor")
    return tensor
