"""One contract for every operator of the zoo."""

import inspect
import itertools

import jaxtyping
import pytest
import torch

from vidops_cli.models import SLOTS
from vidops_cli.ops import OPS
from vidops_cli.textbook import textbook

CHANNELS = 16
GRID = (3, 4, 5)

# option values that the card's own choices and the opposite of each flag do not give
MORE = {
    "conv2d": [{"kernel": 1}, {"kernel": 5, "bias": True}, {"stride": 2}],
    "conv3d": [{"kernel": (1, 3, 3)}, {"kernel": (3, 1, 5), "bias": True}, {"stride": 2}],
    "conv2plus1d": [{"mid": 5, "kernel": (1, 3, 5)}, {"stride": 2, "kernel": (5, 3, 3)}],
    "channel_separated_conv": [{"kernel": (1, 3, 5), "stride": 2}, {"interaction": "reduced", "kernel": (5, 3, 3)}],
    "dynamic_conv": [
        {"kernels": 2, "kernel": (3, 3, 1), "reduction": 2, "temperature": 1.0, "bias": True},
        {"stride": 2, "per_frame": True, "kernels": 3},
    ],
    "involution": [{"group_channels": 4, "window": 3, "frames": 3}, {"reduction": 1}],
    "lambda_layer": [{"heads": 2, "key_channels": 3, "window": 3, "frames": 5}, {"window": 1, "heads": 1}],
    "deformable_conv": [{"kernel": 5, "dilation": 2, "bias": True}, {"kernel": 1, "modulated": False}],
    "tsm": [{"fold_div": 2}, {"fold_div": 3, "first": "previous", "padding": "circular"}],
    "self_attention": [
        {"heads": 2},
        {"rpe": "bias", "grid": (3, 4, 5)},
        {"rpe": "multiplicative", "grid": (2, 3, 4), "heads": 2, "bias": False},
    ],
    "structsa": [{"heads": 2, "patterns": 3, "window": (3, 3, 3)}, {"window": (1, 5, 3)}, {"patterns": 1}],
    "sifa": [
        {"kernel": 5, "dilation": 2},
        {"kernel": 1, "groups": 16},
        {"groups": 2, "norm": True},
        {"offsets": "regular", "kernel": 5, "groups": 4, "norm": True},
    ],
    "global_context": [{"ratio": 3}, {"ratio": 100}],
    "temporal_conv": [{"kernel": 1}, {"kernel": 5, "residual": False, "bias": True}],
    "motion_squeeze": [
        {"reduced": 8, "max_displacement": 1},
        {"sigma": 1.5},
        {"temperature": 0.1},
        {"displacement": "soft_argmax", "confidence": False},
        {"displacement": "correlation", "confidence": False, "max_displacement": 2},
        {"displacement": "correlation", "backward": True, "max_displacement": 2, "refinement": "conv"},
        {"backward": True, "confidence": False, "refinement": "pointwise"},
    ],
    "selfy": [
        {"hidden": 8, "offsets": (1,), "window": 11},
        {"offsets": (-2, 0, 1), "ext_channels": (2, 3, 4, 5), "int_channels": (6, 7, 8, 9)},
        {"offsets": (2, 0), "window": 5, "extraction": "mlp", "ext_channels": (2, 3, 4, 5)},
        {"offsets": (-1, 0, 1), "window": 3, "extraction": "soft_argmax", "integration": "mlp"},
    ],
    "scr": [{"planes": (8, 4), "window": 3}, {"planes": (8,), "window": 1, "skip": "identity"}],
    "cca": [
        {"reduced": 8, "attention_temperature": 2.0},
        {"planes": (4, 4, 1), "kernels": (3, 1, 5), "temperature": 1.0},
    ],
    "se": [{"planes": 24, "reduction": 3}, {"planes": None}],
    "sce": [{"planes": (8, 12)}, {"window": 3}],
    "local_attention": [{"heads": 1}, {"heads": 4, "window": 3, "frames": 5, "pointwise": False}, {"window": 7}],
    "non_local": [{"reduced": 3}, {"subsample": True, "space_time": False, "norm": False}],
    "motion_excitation": [{"reduction": 4}, {"reduction": 2, "gate": "released"}],
    "correlation": [
        {"reduction": 2, "window": 3, "groups": 4},
        {"window": 5, "dilation": 1, "filter": False},
        {"reduction": 1, "window": 1, "dilation": 3},
        {"reduction": 1, "window": 3, "groups": 16},
    ],
    "temporal_difference": [{"reduction": 4}, {"reduction": 2, "bidirectional": False, "gate": "released"}],
    "divided_attention": [{"heads": 2, "bias": False}, {"heads": 16}],
    "integral_action": [{"pose_channels": 16, "features": 8}, {"block_frames": 3, "gate": "both"}],
    "score_average": [{"pose_channels": 16, "classes": 3}],
    "pose_to_feature": [{"heatmap_sigma": 1.5, "field_sigma": 2.0, "threshold": 0.5}],
    "rsa": [
        {"heads": 2, "window": (3, 5, 1), "stride": 2},
        {"heads": 4, "key_channels": 3, "value_channels": 4, "latent": 5},
        *(
            {"heads": 4, "window": (3, 1, 3), "key_channels": 3, "kernel": kernel, "context": context}
            for kernel, context in itertools.product(
                ("basic", "projected", "relational", "both"), ("basic", "relational", "both")
            )
        ),
    ],
    "lisa": [
        {"heads": 2, "patterns": 3},
        {"patterns": 1},
        *(
            {
                "patterns": 2,
                "grid": (2, 3, 4),
                **dict(zip(("phi", "rpe", "padding", "window", "shared"), chosen, strict=True)),
            }
            for chosen in itertools.product(
                ("identity", "softmax", "l2", "gelu"),
                ("dense", "fourier", "separable"),
                ("zero", "circular"),
                (None, (1, 3, 5)),
                (False, True),
            )
        ),
    ],
    "window_attention": [
        {"window": (2, 3, 3), "heads": 2},
        *(
            {"window": window, "shift": True, "padding": padding}
            for window in ((1, 2, 2), (2, 3, 2), (3, 2, 4), (8, 7, 7))
            for padding in ("masked", "zero")
        ),
    ],
    "cross_covariance": [{"heads": 1}, {"heads": 4}],
    "linear_attention": [{"heads": 1}, {"heads": 16}],
    "global_filter": [{"grid": grid} for grid in ((3, 4, 5), (1, 7, 7), (7, 3, 4), (1, 1, 1))],
    "afno": [{"blocks": 1, "expansion": 2}, {"blocks": 4, "threshold": 0.0}, {"threshold": 0.02, "expansion": 3}],
}

# options with which an operator takes inputs of other shapes than its card's: its own tests try them
RESHAPING = {"integral_action": {"pose_frame_factor"}, "pose_to_feature": {"skeleton"}}


def variants(card):
    """Mappings of options: the defaults, each choice, each flag turned, and MORE."""
    found = [{}, *MORE.get(card.name, [])]
    for name, option in card.options.items():
        found += [{name: choice} for choice in option.choices if choice != option.default]
        found += [{name: not option.default}] if option.type == "bool" else []
    return found


EVERY = [pytest.param(card, id=name) for name, card in OPS.items()]
EVERY_VARIANT = [
    pytest.param(card, options, id="-".join([name, *(f"{key}={value}" for key, value in options.items())]))
    for name, card in OPS.items()
    for options in variants(card)
]


# what an operator that is no map from (B, C, T, H, W) to itself gives: (batch, frames) -> shape
SHAPES = {
    "integral_action": lambda batch, frames, options: (batch, options.get("features", 512), frames, 1, 1),
    "score_average": lambda batch, frames, options: (batch, options.get("classes", 50)),
    "pose_to_feature": lambda batch, frames, options: (batch, CHANNELS, frames, 56, 56),
    "cca": lambda batch, frames, options: (batch, 5),
}

# operators that give as many channels as they are told
WIDENING = {
    *("conv2d", "conv3d", "conv2plus1d", "channel_separated_conv", "dynamic_conv", "lambda_layer", "deformable_conv"),
    "rsa",
}

# parameters that the equation itself does not feel, a shift before a norm or a softmax: their gradient is rounding
UNFELT = {
    "integral_action": {"rgb_block.0.bias", "pose_block.0.bias"},
    "pose_to_feature": {"conv.0.bias"},
    "cca": {"matching.conv.2.project.1.bias", "matching.conv.4.project.1.bias"},
    "non_local": {"phi.bias", "W.0.bias"},
    "temporal_difference": {"near.1.bias", "far.1.bias"},
}


def make(card, **options):
    torch.manual_seed(0)
    return card.load()(CHANNELS, **options)


def frames_of(card):
    return min(GRID[0], card.max_frames or GRID[0])


def example(card, frames=None, batch=2, grid=GRID[1:]):
    generator = torch.Generator().manual_seed(1)
    return card.example(batch, CHANNELS, (frames or frames_of(card), *grid), generator)


def with_gradients(function, inputs, op):
    """The output, and the gradients of its weighted sum to the inputs and to each parameter."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    y = function(*inputs)
    weigh = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=y.dtype)
    wanted = [*inputs, *op.parameters()]
    found = torch.autograd.grad((y * weigh).sum(), wanted, allow_unused=True)
    found = [torch.zeros_like(x) if grad is None else grad for x, grad in zip(wanted, found, strict=True)]
    names = ["output", *(f"input {i}" for i in range(len(inputs))), *(name for name, _ in op.named_parameters())]
    return dict(zip(names, [y.detach(), *found], strict=True))


def features(card):
    """Names, as in with_gradients, of inputs through which gradients flow: not the positions of joints."""
    return [f"input {i}" for i, told in enumerate(card.inputs) if told.values == "feature"]


def test_the_zoo_is_walked():
    assert len(OPS) == len(EVERY) >= 20
    assert all(name == card.name for name, card in OPS.items())


@pytest.mark.parametrize("card", EVERY)
def test_every_option_is_tried(card):
    tried = {name for options in variants(card) for name, value in options.items() if value != card.defaults[name]}
    tried |= {"grid"} if any("grid" in options for options in variants(card)) else set()
    assert tried == set(card.options) - RESHAPING.get(card.name, set())


@pytest.mark.parametrize("card", EVERY)
def test_card_is_the_signature(card):
    parameters = list(inspect.signature(card.load()).parameters.values())
    assert [parameters[0].name, parameters[0].kind] == ["channels", inspect.Parameter.POSITIONAL_OR_KEYWORD]
    rest = [p for p in parameters[1:] if p.name != "out_channels"]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters[1:])
    assert {p.name: p.default for p in rest} == card.defaults
    for name, option in card.options.items():
        kinds = {"int": (int,), "float": (float,), "bool": (bool,), "str": (str,), "ints": (tuple,)}
        allowed = kinds[option.type.rstrip("?")] + ((type(None),) if option.type.endswith("?") else ())
        assert type(option.default) in allowed, name
        assert option.problem(option.default) is None
        assert not option.choices or option.default in option.choices
        assert option.help
    assert all((card.title, card.paper, card.equation, card.status))
    assert card.slot in SLOTS
    assert card.load().__name__ == card.cls
    forward = list(inspect.signature(card.load().forward).parameters.values())[1:]
    assert [p.name for p in forward if p.default is p.empty] == [told.name for told in card.inputs]


@pytest.mark.parametrize("card", EVERY)
def test_unknown_and_positional_options_are_refused(card):
    with pytest.raises(TypeError, match="no_such_option"):
        card.load()(CHANNELS, no_such_option=1)
    with pytest.raises(TypeError, match="positional"):
        card.load()(CHANNELS, 8)


@pytest.mark.parametrize("card", EVERY)
def test_choices_are_the_only_values(card):
    for name, option in card.options.items():
        if option.choices:
            with pytest.raises(ValueError, match=name):
                make(card, **{name: "no_such_choice"})


@pytest.mark.parametrize("card", EVERY)
def test_bounds_of_the_card_are_the_operators_own(card):
    """What `vidops validate` refuses by the card, the operator refuses by itself, and names it."""
    for name, option in card.options.items():
        several = option.type.startswith("ints")
        wrong = [] if option.least is None else [option.least - 1]
        wrong += [] if option.above is None else [option.above]
        wrong += [4] if option.odd else []
        for value in wrong:
            value = float(value) if option.type == "float" else value
            value = [value] * len(option.default or range(3)) if several else value
            assert option.problem(value), (name, value)
            with pytest.raises(ValueError, match=name.rstrip("s")):
                make(card, **{name: value})


@pytest.mark.parametrize("card", [card for card in EVERY if "heads" in card.values[0].options])
def test_heads_that_do_not_divide_are_refused(card):
    with pytest.raises(ValueError, match="5 heads do not divide"):
        make(card, heads=5)


@pytest.mark.parametrize("card", EVERY)
def test_other_channels_are_refused(card):
    """Joints have no channels."""
    op, inputs = make(card), card.example(2, CHANNELS + 2, (frames_of(card), *GRID[1:]))
    if card.name != "pose_to_feature":
        with pytest.raises(ValueError, match=f"{CHANNELS} channels.*, got {CHANNELS + 2}"):
            op(*inputs)


@pytest.mark.parametrize("card", EVERY)
def test_what_is_no_map_is_refused(card, monkeypatch):
    """In words, where shapes are not checked by the test run: those of another rank, on two lines."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    if card.name == "pose_to_feature":
        return
    op, inputs = make(card), card.example(2, CHANNELS, (frames_of(card), *GRID[1:]))
    for given in ([x[:, :, 0] for x in inputs], [x[0, 0] for x in inputs], [x[None] for x in inputs]):
        with pytest.raises(ValueError, match=r"takes \(B, C, T, H, W\), got \(.*\)\nhint: an image has T = 1"):
            op(*given)


@pytest.mark.parametrize("card", EVERY)
def test_lists_of_a_recipe_are_taken(card):
    """YAML knows lists, no tuples."""
    for name, option in card.options.items():
        if option.type.startswith("ints"):
            value = option.default or (3, 3, 3)
            op, other = make(card, **{name: list(value)}).eval(), make(card, **{name: value}).eval()
            assert torch.equal(op(*example(card)), other(*example(card)))


@pytest.mark.parametrize("card, options", EVERY_VARIANT)
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_shape(card, options, frames):
    op, inputs = make(card, **options), example(card, frames)
    if frames < card.min_frames or frames > (card.max_frames or frames):
        with pytest.raises(ValueError) as refused:
            op(*inputs)
        message, hint = refused.value.args
        assert str(frames) in message
        assert "T" in hint
        return
    stride = options.get("stride", 1)
    kept = (2, CHANNELS, frames, -(-4 // stride), -(-5 // stride))
    assert op(*inputs).shape == (SHAPES[card.name](2, frames, options) if card.name in SHAPES else kept)


@pytest.mark.parametrize("card", EVERY)
def test_out_channels_where_it_makes_sense(card):
    takes = "out_channels" in inspect.signature(card.load()).parameters
    if takes:
        assert make(card, out_channels=8)(*example(card)).shape == (2, 8, *GRID)
    assert takes == (card.name in WIDENING)


@pytest.mark.parametrize("card, options", EVERY_VARIANT)
def test_gradients_reach_every_parameter(card, options):
    op = make(card, **options)
    awaken(op)
    found = with_gradients(op, example(card), op)
    wanted = [*features(card), *(name for name, _ in op.named_parameters())]
    for name in ["output", *wanted]:
        assert found[name].isfinite().all(), name
    for name in set(wanted) - UNFELT.get(card.name, set()):
        assert found[name].abs().max() > 0, name


def awaken(op):
    """A little noise on parameters that start at exactly zero (branches that start as the identity)."""
    with torch.no_grad():
        for parameter in op.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)


@pytest.mark.parametrize("card, options", EVERY_VARIANT)
def test_state_dict_round_trip(card, options):
    op = make(card, **options).train()
    op(*example(card))  # running statistics that are not the initial ones
    other = card.load()(CHANNELS, **options)
    assert other.load_state_dict(op.state_dict(), strict=True)
    assert torch.equal(other.eval()(*example(card)), op.eval()(*example(card)))


@pytest.mark.parametrize("card", EVERY)
def test_items_of_a_batch_are_independent(card):
    op, inputs = make(card).eval(), example(card, batch=3)
    awaken(op)
    y = op(*inputs)
    for i in range(3):
        alone = [x[i : i + 1] if told.shape.startswith("B") else x for x, told in zip(inputs, card.inputs, strict=True)]
        torch.testing.assert_close(y[i : i + 1], op(*alone))


@pytest.mark.parametrize("card", EVERY)
def test_shapes_can_be_had_on_the_meta_device(card):
    op, inputs = make(card).to("meta"), [x.to("meta") for x in example(card)]
    assert op(*inputs).shape == make(card)(*example(card)).shape


@pytest.mark.parametrize("card", EVERY)
def test_an_empty_batch_is_an_empty_batch(card):
    op, inputs = make(card).eval(), example(card)
    none = [x[:0] if told.shape.startswith("B") else x for x, told in zip(inputs, card.inputs, strict=True)]
    assert op(*none).shape == op(*inputs)[:0].shape


@pytest.mark.parametrize("card", EVERY)
def test_input_is_left_alone_and_calls_repeat(card):
    op, inputs = make(card).eval(), example(card)
    before = [x.clone() for x in inputs]
    assert torch.equal(op(*inputs), op(*inputs))
    for x, same in zip(inputs, before, strict=True):
        assert torch.equal(x, same)


@pytest.mark.parametrize("frames", [None, 2])
@pytest.mark.parametrize("card, options", EVERY_VARIANT)
def test_bfloat16_autocast(card, options, frames):
    if frames and card.max_frames == 1:
        frames = 1
    op = make(card, **options)
    with torch.autocast("cpu", torch.bfloat16):
        found = with_gradients(op, example(card, frames), op)
    for name, value in found.items():
        assert value.isfinite().all(), name
    true = make(card, **options)(*example(card, frames))
    assert (found["output"] - true).norm() <= 0.1 * true.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("card", EVERY)
def test_half_precision_without_autocast(card, dtype):
    op = make(card).to(dtype)
    found = with_gradients(op, [x.to(dtype) for x in example(card)], op)
    assert found["output"].dtype == dtype
    for name, value in found.items():
        assert value.isfinite().all(), name


LAYOUTS = {
    "channels_last_3d": lambda x: x.contiguous(memory_format=torch.channels_last_3d),
    "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "batch_inside": lambda x: x.transpose(0, 2).contiguous().transpose(0, 2),
    "strided": lambda x: x.repeat_interleave(2, dim=2)[:, :, ::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("card", EVERY)
def test_any_memory_layout(card, layout):
    op, inputs = make(card).eval(), example(card)
    awaken(op)
    changed = [LAYOUTS[layout](x) if x.ndim == 5 else x for x in inputs]
    assert not all(x.is_contiguous() for x in changed)
    ours, true = with_gradients(op, changed, op), with_gradients(op, inputs, op)
    for name, value in true.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("card", EVERY)
def test_prints_its_options(card):
    op = make(card)
    assert op.extra_repr() or not card.options
    assert repr(op).startswith(f"{card.cls}(")


def relative_error(a, b):
    return ((a - b).abs().max() / b.abs().max().clamp(min=1)).item()


@pytest.mark.parametrize("card, options", EVERY_VARIANT)
def test_equals_its_textbook_form(card, options):
    """float64: all to 1e-9. float32: to 1e-5, or ten times what the textbook form itself rounds."""
    published = textbook(card.name)

    def both(dtype):
        op, inputs = make(card, **options), [x.to(dtype) for x in example(card)]
        awaken(op)
        op = op.to(dtype).eval()
        return with_gradients(op, inputs, op), with_gradients(lambda *x: published(op, *x), inputs, op)

    (ours, true), (ours32, true32) = both(torch.float64), both(torch.float32)
    assert ours.keys() == true.keys() == ours32.keys()
    for name, value in true.items():
        assert relative_error(ours[name], value) < 1e-9, name
    rounding = max(relative_error(true32[name].double(), value) for name, value in true.items())
    for name, value in true.items():
        assert relative_error(ours32[name].double(), value) < max(1e-5, 10 * rounding), name


@pytest.mark.parametrize("card", EVERY)
@pytest.mark.parametrize("grid", [(2, 1, 1), (2, 1, 6), (4, 6, 6)])
def test_equals_its_textbook_form_on_other_grids(card, grid):
    op = make(card)
    awaken(op)
    op = op.double().eval()
    inputs = [x.double() for x in example(card, min(grid[0], card.max_frames or grid[0]), 1, grid[1:])]
    torch.testing.assert_close(op(*inputs), textbook(card.name)(op, *inputs))
