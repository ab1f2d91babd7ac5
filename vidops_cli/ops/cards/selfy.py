"""SELFY."""

from ..card import Card

CARDS: tuple[Card, ...] = ()
