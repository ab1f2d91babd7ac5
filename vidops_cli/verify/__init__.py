"""Frozen data of the papers' released code, and whether our operators give the same. This page imports no torch."""

from .cases import SHIPPED, Case, find
from .sources import count_by_op, is_network, source_of

__all__ = ["SHIPPED", "Case", "count_by_op", "find", "is_network", "source_of"]
