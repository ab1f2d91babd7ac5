"""The zoo: one file for each operator, named as in its paper; this index and the cards import no torch."""

from .card import Card, Input, Option
from .cards import ALL

OPS: dict[str, Card] = {card.name: card for card in ALL}

__all__ = ["OPS", "Card", "Input", "Option"]
