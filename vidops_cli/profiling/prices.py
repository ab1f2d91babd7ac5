"""What each aten operation costs that torch's own table of FLOP formulas leaves out."""

from __future__ import annotations

from vidops_cli.ops.cost import ACTIVATION, BATCH_NORM, LAYER_NORM, SOFTMAX


def _names(words: str) -> list[str]:
    return words.split()


# data moved, made or chosen: no arithmetic
FREE = frozenset(
    _names(
        "_to_copy _local_scalar_dense arange bernoulli bernoulli_ cat channel_shuffle clone complex constant_pad_nd "
        "copy_ empty empty_like empty_permuted empty_strided eye fill fill_ full full_like flip gather im2col index "
        "index_copy index_copy_ index_fill index_put index_put_ index_select lift_fresh linspace masked_fill "
        "masked_fill_ masked_scatter masked_select max_unpool2d native_dropout new_empty new_empty_strided new_full "
        "new_ones new_zeros nonzero normal_ ones ones_like pixel_shuffle pixel_unshuffle rand rand_like randint randn "
        "randn_like reflection_pad1d reflection_pad2d reflection_pad3d repeat replication_pad1d replication_pad2d "
        "replication_pad3d roll rot90 scalar_tensor scatter scatter_ select_backward select_scatter slice_backward "
        "slice_scatter stack tril tril_indices triu triu_indices unfold_backward uniform_ upsample_nearest1d "
        "upsample_nearest2d upsample_nearest3d where zero_ zeros zeros_like _unsafe_view _reshape_copy embedding "
        "resize_ set_ _efficientzerotensor"
    )
    + _names("_unsafe_index unsafe_split unsafe_split_with_sizes transpose_ squeeze_ unsqueeze_ t_ as_strided_")
    # comparisons, choices by them, and arithmetic on indices
    + _names(
        "all any bitwise_and bitwise_not bitwise_or bitwise_xor eq equal ge gt isfinite isinf isnan le logical_and "
        "logical_not logical_or logical_xor lt ne floor_divide conj_physical _conj_physical real imag"
    )
)

# for each element of the first tensor; of the added one, where elements are added at places
INPUT = {
    **dict.fromkeys(_names("sum mean amax amin max min argmax argmin prod cumsum cumprod logsumexp nansum"), 1),
    **dict.fromkeys(_names("scatter_add scatter_add_ index_add index_add_ scatter_reduce col2im"), 1),
    **dict.fromkeys(_names("adaptive_max_pool2d adaptive_max_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d"), 1),
    **dict.fromkeys(_names("max_pool2d_with_indices_backward max_pool3d_with_indices_backward avg_pool2d_backward"), 1),
    **dict.fromkeys(_names("avg_pool3d_backward _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward"), 1),
    **dict.fromkeys(_names("adaptive_max_pool2d_backward value_selecting_reduction_backward"), 1),
    **dict.fromkeys(_names("var std var_mean std_mean"), 3),
    **dict.fromkeys(_names("native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm"), BATCH_NORM),
    **dict.fromkeys(_names("_batch_norm_no_update"), BATCH_NORM),
    **dict.fromkeys(_names("_native_batch_norm_legit _batch_norm_with_update"), LAYER_NORM),  # the batch's statistics
    **dict.fromkeys(_names("native_layer_norm native_group_norm"), LAYER_NORM),
    **dict.fromkeys(_names("native_layer_norm_backward native_group_norm_backward native_batch_norm_backward"), 8),
    **dict.fromkeys(_names("batch_norm_backward cudnn_batch_norm_backward"), 8),
}
ADDED = {name: 3 for name in _names("scatter_add scatter_add_ index_add index_add_ scatter_reduce")}

# for each element of the result
OUTPUT = {
    **dict.fromkeys(_names("_softmax _log_softmax _safe_softmax"), SOFTMAX),
    **dict.fromkeys(_names("_softmax_backward_data _log_softmax_backward_data"), 4),
    **dict.fromkeys(_names("gelu silu silu_ softplus hardswish mish gelu_backward silu_backward"), ACTIVATION),
    **dict.fromkeys(_names("softplus_backward hardswish_backward mish_backward elu_backward"), ACTIVATION),
    **dict.fromkeys(_names("elu elu_ celu selu"), ACTIVATION),
    **dict.fromkeys(_names("leaky_relu_backward hardtanh_backward hardsigmoid_backward threshold_backward"), 1),
    **dict.fromkeys(_names("addcmul addcdiv lerp addcmul_ addcdiv_ lerp_ logaddexp"), 2),
    **dict.fromkeys(_names("upsample_linear1d upsample_linear1d_backward"), 3),
    **dict.fromkeys(_names("upsample_bilinear2d upsample_bilinear2d_backward"), 7),
    **dict.fromkeys(_names("upsample_trilinear3d upsample_trilinear3d_backward"), 15),
}
