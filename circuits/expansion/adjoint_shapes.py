"""The rules of adjoints.py for what moves numbers: pools, slices, paddings, views.

compose.py imports this for its rules, which enter the table of adjoints.py by that.
"""

from dataclasses import replace

from circuits.expansion.adjoints import Passed, Step, rule
from circuits.expansion.canvas import Bank, Pair, spread


def _window(
    step: Step, *, taps: Pair, stride: Pair, pad: Pair, dilation: Pair = (1, 1), weight: float
) -> Bank:
    """Return the bank of the input of a window with one weight for all its cells."""
    bank = step.bank
    kernel = spread(bank.kernel * weight, taps=taps, stride=stride, dilation=dilation)
    return bank.moved(kernel, stride=stride, pad=pad)


@rule("max_pool2d_with_indices")
def _max_pool(step: Step) -> Passed:
    if step.slot != 0:
        raise step.refuse("the places of the largest values are used")
    taps = step.pair(1, "kernel_size")
    cells = taps[0] * taps[1]
    powers = {"average": -1.0, "keep_l2": -0.5, "keep_max": 0.0}
    yield (
        step.source,
        _window(
            step,
            taps=taps,
            stride=step.pair(2, "stride", ()) if step.arg(2, "stride", ()) else taps,
            pad=step.pair(3, "padding", 0),
            dilation=step.pair(4, "dilation", 1),
            weight=cells ** powers[step.passage.pool],
        ),
    )


@rule("avg_pool2d")
def _average_pool(step: Step) -> Passed:
    taps = step.pair(1, "kernel_size")
    stride = step.pair(2, "stride", ()) if step.arg(2, "stride", ()) else taps
    divisor = step.arg(6, "divisor_override") or taps[0] * taps[1]
    pad = step.pair(3, "padding", 0)
    yield step.source, _window(step, taps=taps, stride=stride, pad=pad, weight=1 / divisor)


@rule("_adaptive_avg_pool2d")
def _adaptive_pool(step: Step) -> Passed:
    (h, w), (oh, ow) = step.before[2:], step.after[2:]
    if h % oh or w % ow:
        raise step.refuse(f"windows of {h}x{w} -> {oh}x{ow} positions differ in size")
    yield step.source, _whole(step, (h // oh, w // ow))


@rule("mean")
def _mean(step: Step) -> Passed:
    axes = {axis % len(step.before) for axis in step.arg(1, "dim") or ()}
    if len(step.before) != 4 or axes != {2, 3}:
        raise step.refuse("only the mean over a whole map is composed")
    yield step.source, _whole(step, (step.before[2], step.before[3]))


def _whole(step: Step, taps: Pair) -> Bank:
    bank = _window(step, taps=taps, stride=taps, pad=(0, 0), weight=1 / (taps[0] * taps[1]))
    return replace(bank, pinned=bank.pinned or taps == step.before[2:])


@rule("constant_pad_nd")
def _pad(step: Step) -> Passed:
    pads = [int(n) for n in step.arg(1, "pad")]
    pads += [0] * (2 * len(step.before) - len(pads))
    pairs = [(pads[k], pads[k + 1]) for k in range(0, len(pads), 2)]  # last axis first
    if len(step.before) != 4 or pairs[3] != (0, 0):
        raise step.refuse("only maps are padded")
    bank = step.bank.moved(step.bank.kernel, pad=(pairs[1][0], pairs[0][0]))
    before, after = pairs[2]
    if before < 0 or after < 0:
        bank = bank.within(step.before[1], -min(0, before))
    elif before or after:
        cut = bank.channels(before, before + step.before[1])
        if cut is None:
            return
        bank = cut
    yield step.source, bank


@rule("slice")
def _slice(step: Step) -> Passed:
    axis, start = int(step.arg(1, "dim", 0)) % len(step.before), step.arg(2, "start") or 0
    start = max(0, start + step.before[axis] if start < 0 else start)
    stride = int(step.arg(4, "step", 1))
    yield step.source, _sliced(step, axis, start, stride)


def _sliced(step: Step, axis: int, start: int, stride: int = 1) -> Bank:
    """Return the bank of a value of which a slice along one axis was taken."""
    if axis == 0 and step.before != step.after:
        raise step.refuse("it picks images")
    if axis == 0:
        return step.bank
    if axis == 1 and len(step.before) in {2, 4}:
        return step.bank.within(step.before[1], start, step=stride)
    if axis in {2, 3} and len(step.before) == 4:
        strides = (stride, 1) if axis == 2 else (1, stride)
        pad = (-start, 0) if axis == 2 else (0, -start)
        kernel = spread(step.bank.kernel, taps=(1, 1), stride=strides)
        return step.bank.moved(kernel, stride=strides, pad=pad)
    raise step.refuse("only channels and positions of maps are sliced")


@rule("split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk")
def _split(step: Step) -> Passed:
    axis = int(step.arg(2, "dim", 0)) % len(step.before)
    earlier = [v for v in step.operation.outputs[: step.slot] if v is not None]
    yield step.source, _sliced(step, axis, sum(step.shapes[v][axis] for v in earlier))


@rule("view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "_reshape_alias")
def _view(step: Step) -> Passed:
    before, after = step.before, step.after
    same_space = len(before) >= 4 and len(after) >= 4 and before[-2:] == after[-2:]
    if before[:1] != after[:1]:
        raise step.refuse("it mixes images with positions")
    if before == after or same_space or (_is_vector(before) and _is_vector(after)):
        yield step.source, step.bank
    elif len(before) == 4 and _is_vector(after) and len(after) == 2:
        c, h, w = before[1:]
        kernel = step.bank.kernel.reshape(len(step.bank.kernel), c, h, w)
        yield step.source, replace(step.bank, kernel=kernel, jump=(h, w), pinned=True)
    else:
        raise step.refuse(f"it turns {list(before)} into {list(after)}")


def _is_vector(shape: tuple[int, ...]) -> bool:
    return all(side == 1 for side in shape[2:])


@rule("transpose", "permute")
def _permuted(step: Step) -> Passed:
    rank = len(step.before)
    if step.operation.name == "permute":
        order = [int(axis) % rank for axis in step.arg(1, "dims")]
    else:
        order = list(range(rank))
        a, b = (int(step.arg(k, f"dim{k - 1}")) % rank for k in (1, 2))
        order[a], order[b] = b, a
    if rank < 5 or order[0] != 0 or order[-2:] != [rank - 2, rank - 1]:
        raise step.refuse("it moves channels to another axis, or positions")
    channels = len(order) - 2
    kernel = step.bank.kernel
    split = kernel.reshape(len(kernel), *step.after[1:-2], *step.bank.extent)
    back = split.permute(*(order.index(axis) for axis in range(channels)), rank - 2, rank - 1)
    yield step.source, replace(step.bank, kernel=back.reshape(kernel.shape))


@rule("channel_shuffle", "native_channel_shuffle")
def _shuffle(step: Step) -> Passed:
    groups = int(step.arg(1, "groups"))
    t, c = step.bank.kernel.shape[:2]
    split = step.bank.kernel.reshape(t, c // groups, groups, *step.bank.extent)
    yield step.source, replace(step.bank, kernel=split.transpose(1, 2).flatten(1, 2))
