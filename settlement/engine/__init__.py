"""The engine: canonical tables in, pieces out. SQL files and a little Python; no database session, clock or files.

Each file in `sql/` is one SELECT, its common table expressions named after the sentences of the arithmetic it
follows (settlement.md §§ 3–7). Days are whole numbers since 1970-01-01 and money is whole øre throughout.
"""
