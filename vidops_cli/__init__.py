"""vidops: benchmark and ablate the operators of video and image understanding.

For notebooks and scripts: `create_op`, `create_model`, `profile`, `load_recipe`; see docs/api.md. They are imported
when they are first used: `import vidops_cli` imports no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import create_model, create_op, load_recipe, profile

__version__ = "0.1.0"
__all__ = ["__version__", "create_model", "create_op", "load_recipe", "profile"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING"})
