"""Happenings at a stated share, evenly spread."""

from __future__ import annotations


class Shares:
    """Spreads happenings evenly: of every 10,000 chances the given number hits, and the very first one does."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}

    def hit(self, what: str, of_10_000: int) -> bool:
        left = self._left.get(what, 10_000 - of_10_000) + of_10_000
        self._left[what] = left - 10_000 if left >= 10_000 else left
        return left >= 10_000
