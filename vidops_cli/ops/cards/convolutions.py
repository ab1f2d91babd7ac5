"""Convolutions that are taken apart, weighed, made from the map or moved: what stands in the place of a plain one."""

from ..card import Card, Option

_KERNEL = Option("ints", (3, 3, 3), "size of the kernel (time, height, width), all odd", least=1, odd=True)
_STRIDE = Option("int", 1, "stride in space", least=1)
_FRAMES = Option("int", 1, "frames of the window, odd; the paper's is one", least=1, odd=True)

CARDS = (
    Card(
        name="conv2plus1d",
        cls="Conv2Plus1D",
        title="(2+1)D convolution",
        paper="A Closer Look at Spatiotemporal Convolutions for Action Recognition",
        venue="CVPR 2018",
        arxiv="1711.11248",
        slot="conv2",
        equation="y = W_t * relu(bn(W_s * x)); W_s to M = floor(t d^2 C1 C2 / (d^2 C1 + t C2)) channels",
        layer=(128, 8, 28, 28),
        options={
            "kernel": _KERNEL,
            "mid": Option("int?", None, "channels M between; null: as many weights as the 3-D kernel has", least=1),
            "stride": _STRIDE,
        },
        deviations="a stride is in space alone; the networks r2plus1d_18 and r2plus1d_34 stride in time too",
        status="by the paper's equation; in r2plus1d_18 equal to torchvision's network",
    ),
    Card(
        name="channel_separated_conv",
        cls="ChannelSeparatedConv",
        title="Channel-separated convolution",
        paper="Video Classification with Channel-Separated Convolutional Networks",
        venue="ICCV 2019",
        arxiv="1904.02811",
        slot="conv2",
        equation="y[c,n] = sum_d D[c,d] sum_c' W[c,c'] x[c', n + d]; interaction reduced: without W",
        layer=(128, 8, 28, 28),
        options={
            "interaction": Option(
                "str",
                "preserved",
                "preserved: 1 x 1 x 1, then depthwise; reduced: depthwise alone",
                ("preserved", "reduced"),
            ),
            "kernel": _KERNEL,
            "stride": _STRIDE,
        },
        deviations="no norm between the two convolutions; a stride is in space alone",
        status="by the paper's equation: no released code at hand",
    ),
    Card(
        name="dynamic_conv",
        cls="DynamicConv",
        title="Dynamic convolution: attention over kernels",
        paper="Dynamic Convolution: Attention over Convolution Kernels",
        venue="CVPR 2020",
        arxiv="1912.03458",
        slot="conv2",
        equation="y = (sum_k pi_k W_k) * x, pi = softmax((W_2 relu(W_1 mean_n x[n])) / tau)",
        layer=(128, 8, 28, 28),
        options={
            "kernels": Option("int", 4, "number K of kernels", least=1),
            "kernel": Option("ints", (1, 3, 3), "size of the kernel (time, height, width), all odd", least=1, odd=True),
            "reduction": Option("int", 4, "the hidden layer has C / reduction channels", least=1),
            "temperature": Option("float", 30.0, "temperature tau of the softmax", above=0),
            "stride": _STRIDE,
            "per_frame": Option("bool", False, "attention of each frame, not of the clip; takes kernels of one frame"),
            "bias": Option("bool", False, "a bias for each kernel"),
        },
        deviations=(
            "tau is fixed, where the paper lets it fall from 30 to 1 over the first epochs; kernels over frames and "
            "attention of a whole clip are ours"
        ),
        status="by the paper's equation: no released code at hand",
    ),
    Card(
        name="involution",
        cls="Involution",
        title="Involution",
        paper="Involution: Inverting the Inherence of Convolution for Visual Recognition",
        venue="CVPR 2021",
        arxiv="2103.06255",
        slot="conv2",
        equation="H[n] = W_1 relu(bn(W_0 x[n])); y[c,n] = sum_d H[n, g(c), d] x[c, n + d]",
        layer=(128, 8, 28, 28),
        options={
            "window": Option("int", 7, "height and width of the window, odd", least=1, odd=True),
            "frames": _FRAMES,
            "group_channels": Option(
                "int", 16, "channels that share a kernel, or the greatest divisor of them that divides C", least=1
            ),
            "reduction": Option("int", 4, "the hidden layer has C / reduction channels", least=1),
        },
        deviations="a window over frames is ours; no stride",
        status="by the paper's equation: no released code at hand",
    ),
    Card(
        name="lambda_layer",
        cls="LambdaLayer",
        title="Lambda layer, with lambda convolution",
        paper="LambdaNetworks: Modeling Long-Range Interactions without Attention",
        venue="ICLR 2021",
        arxiv="2102.08602",
        slot="conv2",
        equation="y_h[n] = (sum_m softmax_m(W_K x)[m]^T v[m] + sum_d E[d]^T v[n + d])^T q_h[n]",
        layer=(128, 8, 28, 28),
        options={
            "heads": Option("int", 4, "number of heads; they divide the output's channels", least=1),
            "key_channels": Option("int", 16, "channels k of a query and a key", least=1),
            "window": Option(
                "int", 23, "height and width of the window of the position lambdas, odd", least=1, odd=True
            ),
            "frames": _FRAMES,
        },
        deviations="intra-depth 1; on clips content is of all frames and a window over frames is ours; no stride",
        status="by the paper's equation: on images equal to timm's",
    ),
    Card(
        name="deformable_conv",
        cls="DeformableConv",
        title="Deformable convolution, modulated",
        paper="Deformable ConvNets v2: More Deformable, Better Results",
        venue="CVPR 2019",
        arxiv="1811.11168",
        slot="conv2",
        equation="y(p) = sum_k W_k x(p + r_k + dp_k(p)) dm_k(p); (dp, m) = W' * x + b', dm = sigmoid(m)",
        layer=(128, 8, 28, 28),
        options={
            "kernel": Option("int", 3, "size K of the K x K taps, odd", least=1, odd=True),
            "dilation": Option("int", 1, "pixels from a tap to the next one", least=1),
            "modulated": Option("bool", True, "weigh each tap (v2); false: v1, arXiv 1703.06211"),
            "bias": Option("bool", False, "learn a bias"),
        },
        deviations="one group of offsets, each frame alone, no stride; the offsets' slower learning is the recipe's",
        status="by the paper's equation: no released code at hand",
    ),
)
