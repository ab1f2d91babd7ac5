"""What a table is made of beside its rows: all that a recipe tells of it."""

from __future__ import annotations

from typing import Any

from vidops_cli.recipe import Recipe


def told_of(recipe: Recipe, floors: dict[str, float]) -> dict[str, Any]:
    """As it stands at the head of a published table, in JSON's types; `floors` are those of its data."""
    ablation = recipe.ablation
    told = ablation.model_dump(mode="json", include={"metric", "seeds", "listed", "claims"})
    told |= recipe.model_dump(mode="json", include={"title", "claim", "paper", "convention", "scale"})
    told |= {"rates": recipe.rates, "reference": ablation.compared_with}
    told["rows"] = [row.model_dump(mode="json", exclude={"set"}) for row in ablation.rows]
    told["quoted"] = [line.model_dump(mode="json") for line in ablation.quoted]
    return told | {"floors": floors}
