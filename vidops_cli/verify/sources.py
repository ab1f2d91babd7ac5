"""Which operator of ours a case of released code tests, and which function of this package runs it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .cases import SHIPPED, Case, find


@dataclass(frozen=True)
class Source:
    """`official` is found in what a case says it ran; `adapter` is `file.function` of this package.

    `given` names a constructor argument that is not zero in the cases meant.
    """

    official: str
    op: str
    adapter: str
    given: str = ""


SOURCES = (
    Source("RSA/ops/rsa.py::RSA", "rsa", "rsa.layer"),
    Source("resnet_TSM.py::Matching_layer", "motion_squeeze", "motion_squeeze.correlation"),
    Source("resnet_TSM.py::ResNet.flow_computation", "motion_squeeze", "motion_squeeze.displacement"),
    Source("resnet_TSM.py::Flow_refinement", "motion_squeeze", "motion_squeeze.refinement"),
    Source("SELFY/ops/selfy.py::SELFYBlock", "selfy", "selfy.block"),
    Source("SELFY/ops/selfy.py::STSSTransformation", "selfy", "selfy.transformation"),
    Source("SELFY/ops/selfy.py::STSSExtraction", "selfy", "selfy.extraction"),
    Source("SELFY/ops/selfy.py::STSSIntegration", "selfy", "selfy.integration"),
    Source("tsm_util", "tsm", "tsm.shift"),
    Source("SIFA/model/defcor.py", "sifa", "sifa.primitives"),
    Source("SIFA/model/c2d_sifa_resnet.py::DEFLocalTransBottleneck", "sifa", "sifa.bottleneck"),
    Source("SIFA/model/c2d_sifa_resnet.py::GBottleneck", "global_context", "sifa.global_context"),
    Source("SIFA/model/c2d_sifa_swin.py::SIFASwinTransformerBlock", "temporal_conv", "sifa.swin_block", "shift_size"),
    Source("SIFA/model/c2d_sifa_swin.py::SIFASwinTransformerBlock", "sifa", "sifa.swin_block"),
    Source("renet/models::scr.py::SelfCorrelationComputation", "scr", "renet.self_correlation"),
    Source("renet/models::scr.py::SCR", "scr", "renet.scr"),
    Source("renet/models::renet.py::_make_scr_layer", "scr", "renet.self_correlation_scr"),
    Source("renet/models::cca.py::CCA", "cca", "renet.cca"),
    Source("renet/models::cca.py::SepConv4d", "cca", "renet.separable_conv4d"),
    Source("renet/models::renet.py::RENet.cca", "cca", "renet.head"),
    Source("renet/models::others/se.py::SqueezeExcitation", "se", "renet.se"),
    Source("renet/models::others/sce.py::SpatialContextEncoder", "sce", "renet.sce"),
    Source("renet/models::others/lsa.py::LocalSelfAttention", "local_attention", "renet.local_attention"),
    Source("renet/models::others/nlsa.py::NonLocalSelfAttention", "non_local", "renet.non_local"),
    Source("common/nets/module.py::Aggregator", "integral_action", "integral_action.aggregator"),
    Source("common/nets/module.py::Pose2Feat", "pose_to_feature", "integral_action.pose_to_feature"),
    Source("IntegralAction main/model.py::Model.render", "pose_to_feature", "integral_action.rendering"),
)


NETWORKS = {  # what a case of a whole network says it ran -> the function of networks.py that runs it
    "TSN(base_model=MS)": "motionsqueeze",
    "TSN(base_model=SELFY)": "selfy",
    "TSN(base_model=ResNet)": "rsa",
    "TSN(base_model=TSM)": "tsm",
    "renet.py::RENet": "renet_episode",
    "RENet.encode": "renet_encode",
    "resnet.py::ResNet": "resnet12",
    "c2d_sifa_resnet.py::c2d_sifa_resnet": "sifa_net",
    "c2d_sifa_swin.py": "sifa_swin",
    "model.py::get_model": "integral_action",
    "torchvision": "torchvision",
    "timm": "timm",
}


def is_network(case: Case) -> bool:
    """Whole networks stand in groups called `..._net`, or say so themselves."""
    return source_of(case) is None and (
        network_of(case) is not None or bool(case.official and case.group.endswith("_net"))
    )


def network_of(case: Case) -> str | None:
    """The function of networks.py that runs a case; None if none is known."""
    return next((function for told, function in NETWORKS.items() if told in case.official), None)


def source_of(case: Case) -> Source | None:
    """The first source that a case names; None if it names none."""
    told = case.meta.get("ctor")
    given = {name for name, value in told.items() if value} if isinstance(told, dict) else set()
    fits = (source for source in SOURCES if source.official in case.official and {source.given} - {""} <= given)
    return next(fits, None)


def count_by_op(folder: Path = SHIPPED) -> Counter[str]:
    """How many cases of a folder test each operator."""
    found = (None if is_network(case) else source_of(case) for case in find(folder))
    return Counter(source.op for source in found if source)
