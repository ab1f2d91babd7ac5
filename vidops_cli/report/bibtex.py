"""A paper as BibTeX: of its card, and of CITATION.cff where that tells more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ESCAPED = str.maketrans({mark: f"\\{mark}" for mark in "&%$#_"})


def bibtex(key: str, *, title: str, venue: str, arxiv: str, cited: Mapping[str, Any] | None = None) -> str:
    """`venue` ends in the year, as in "ICCV 2021". `cited` is the paper's entry in CITATION.cff; without it the authors
    are left out, and where they stand is told in a comment.
    """
    told = cited or {}
    where, _, year = venue.rpartition(" ")
    page = f"https://arxiv.org/abs/{arxiv}"
    authors = " and ".join(f"{who['family-names']}, {who['given-names']}" for who in told.get("authors", ()))
    article = told.get("type") == "article"
    place = told.get("journal" if article else "collection-title", where)
    fields = {
        "title": f"{{{told.get('title', title)}}}",
        "author": authors,
        "journal" if article else "booktitle": place,
        "year": str(told.get("year", year)),
        "doi": told.get("doi", ""),
        "eprint": arxiv,
        "archivePrefix": "arXiv",
        "url": page,
    }
    kept = {name: value if name in ("url", "doi") else value.translate(ESCAPED) for name, value in fields.items()}
    lines = [f"  {name} = {{{value}}}," for name, value in kept.items() if value]
    note = [] if authors else [f"% the authors are not on the card: see {page}"]
    return "\n".join([*note, f"@{'article' if article else 'inproceedings'}{{{key},", *lines, "}"]) + "\n"
