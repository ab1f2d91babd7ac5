"""RENet, and what it compares with."""

from ..card import Card

CARDS: tuple[Card, ...] = ()
