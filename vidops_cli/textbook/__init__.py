"""The published algorithms as plain functions of (op, x) on the operator's own parameters.

They import nothing of ours.
"""
