"""Receptive field arithmetic: which pixels a position of an activation map can see.

Used by tracing.py, which feeds one call after the other through these rules while a network
runs, so that the figures hold for whatever the network really did.
"""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Axis:
    """Receptive fields along one axis, in pixels.

    Attributes:
        size_px: Extent of the field of one position.
        stride_px: Step between the fields of neighbouring positions.
        start_px: First pixel of the field of position 0; negative inside the padding.
    """

    size_px: int = 1
    stride_px: int = 1
    start_px: int = 0

    def window(self, kernel: int, stride: int, pad: int, dilation: int = 1) -> "Axis":
        """Return the axis after a convolution or pooling window.

        References:
            Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional Neural
            Networks", Distill, equations 1 to 4.
        """
        return Axis(
            size_px=self.size_px + (kernel - 1) * dilation * self.stride_px,
            stride_px=self.stride_px * stride,
            start_px=self.start_px - pad * self.stride_px,
        )

    def union(self, other: "Axis") -> "Axis":
        """Return the smallest field that covers both; strides are those of `self`."""
        start = min(self.start_px, other.start_px)
        stop = max(self.start_px + self.size_px, other.start_px + other.size_px)
        return Axis(stop - start, self.stride_px, start)


@dataclass(frozen=True)
class Field:
    """The receptive fields of an activation map.

    Attributes:
        y: Along the height; None where `extent` is not `local`.
        x: Along the width; likewise.
        extent: `local`: the figures hold. `global`: each position sees the whole image.
            `unknown`: the network did something that this arithmetic does not cover.
    """

    y: Axis | None
    x: Axis | None
    extent: Literal["local", "global", "unknown"] = "local"

    def union(self, other: "Field") -> "Field":
        """Return the field of a sum or concatenation of two maps."""
        for extent in ("unknown", "global"):
            if extent in (self.extent, other.extent):
                return UNKNOWN if extent == "unknown" else GLOBAL
        if self.y is None or self.x is None or other.y is None or other.x is None:
            return UNKNOWN
        if (self.y.stride_px, self.x.stride_px) != (other.y.stride_px, other.x.stride_px):
            return UNKNOWN
        return Field(self.y.union(other.y), self.x.union(other.x))

    def window(
        self,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        pad: tuple[int, int],
        dilation: tuple[int, int] = (1, 1),
    ) -> "Field":
        """Return the field after a convolution or pooling window, each pair as (y, x)."""
        if self.y is None or self.x is None:
            return self
        return Field(
            self.y.window(kernel[0], stride[0], pad[0], dilation[0]),
            self.x.window(kernel[1], stride[1], pad[1], dilation[1]),
        )


IMAGE = Field(Axis(), Axis())
GLOBAL = Field(None, None, "global")
UNKNOWN = Field(None, None, "unknown")

_MAX_OR_AVERAGE_POOLS = {
    "max_pool2d",
    "_max_pool2d",
    "max_pool2d_with_indices",
    "boolean_dispatch",
    "avg_pool2d",
    "lp_pool2d",
}
_REDUCTIONS = {
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "_adaptive_max_pool2d",
    "mean",
    "sum",
    "amax",
    "max",
    "flatten",
}
# These keep the shape of the map and still move information across it, or hide where it came from.
_NOT_POINTWISE = {
    "roll",
    "flip",
    "matmul",
    "bmm",
    "__matmul__",
    "einsum",
    "linear",
    "interpolate",
    "upsample",
    "grid_sample",
    "scaled_dot_product_attention",
    "multi_head_attention_forward",
    "layer_norm",
    "instance_norm",
    "group_norm",
    "cumsum",
    "softmax",
    "log_softmax",
    "rot90",
    "reshape",
    "view",
    "unfold",
    "fold",
    "conv_transpose2d",
    "pixel_shuffle",
    "pixel_unshuffle",
    "normalize",
}


def after_call(
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: list[tuple[Field, tuple[int, ...]]],
    shape: tuple[int, ...],
) -> Field:
    """Return the field of a function's output.

    Args:
        name: Name of the torch function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        inputs: Field and shape of each input that depends on the image.
        shape: Shape of the output.
    """
    field, first_shape = inputs[0]
    for other, _ in inputs[1:]:
        field = field.union(other)
    if field.extent != "local":
        return field
    if name == "conv2d":
        return _convolution(field, args, kwargs, first_shape)
    if name in _MAX_OR_AVERAGE_POOLS:
        return _pool(field, args, kwargs)
    if name == "pad":
        return _pad(field, args, kwargs)
    if name in _REDUCTIONS and shape[-2:] != first_shape[-2:]:
        return GLOBAL
    if name in {"transpose", "permute"}:
        return field if _keeps_map_axes(name, args, kwargs, len(first_shape)) else UNKNOWN
    if name in {"reshape", "view", "unflatten"}:
        return field if shape[-2:] == first_shape[-2:] and len(shape) >= 3 else GLOBAL
    if name in _NOT_POINTWISE or any(s[-2:] != shape[-2:] for _, s in inputs):
        return UNKNOWN
    return field


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    items = tuple(int(v) for v in value)
    return (items[0], items[0]) if len(items) == 1 else (items[0], items[1])


def _argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int, key: str, default: Any
) -> Any:
    if key in kwargs:
        return kwargs[key]
    return args[position] if len(args) > position else default


def _convolution(
    field: Field, args: tuple[Any, ...], kwargs: dict[str, Any], shape: tuple[int, ...]
) -> Field:
    weight = _argument(args, kwargs, 1, "weight", None)
    kernel = _pair(tuple(weight.shape[-2:]))
    stride = _pair(_argument(args, kwargs, 3, "stride", 1))
    dilation = _pair(_argument(args, kwargs, 5, "dilation", 1))
    padding = _argument(args, kwargs, 4, "padding", 0)
    if padding == "valid":
        pad = (0, 0)
    elif padding == "same":
        pad = (dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2)
    else:
        pad = _pair(padding)
    if len(shape) < 3:
        return UNKNOWN
    return field.window(kernel, stride, pad, dilation)


def _pool(field: Field, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
    kernel = _pair(_argument(args, kwargs, 1, "kernel_size", 1))
    stride_given = _argument(args, kwargs, 2, "stride", None)
    stride = kernel if stride_given is None or stride_given == [] else _pair(stride_given)
    pad = _pair(_argument(args, kwargs, 3, "padding", 0))
    dilation = _argument(args, kwargs, 4, "dilation", 1)
    # avg_pool2d has ceil_mode, a bool, where max_pool2d has its dilation.
    has_dilation = isinstance(dilation, tuple | list) or (type(dilation) is int)
    return field.window(kernel, stride, pad, _pair(dilation) if has_dilation else (1, 1))


def _pad(field: Field, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field:
    pads = list(_argument(args, kwargs, 1, "pad", [0, 0, 0, 0]))
    pads += [0] * (4 - len(pads))
    return field.window((1, 1), (1, 1), (pads[2], pads[0]))


def _keeps_map_axes(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], dims: int) -> bool:
    if name == "transpose":
        moved = {_argument(args, kwargs, 1, "dim0", 0) % dims}
        moved.add(_argument(args, kwargs, 2, "dim1", 0) % dims)
        return not moved & {dims - 1, dims - 2}
    order = _argument(args, kwargs, 1, "dims", ())
    order = tuple(args[1:]) if isinstance(order, int) else tuple(order)
    return tuple(d % dims for d in order[-2:]) == (dims - 2, dims - 1)
