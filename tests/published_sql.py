"""SQL on an instance's published marts, by connections of the tests' own: what the pages' figures are laid beside."""

import duckdb


def ask(home, sql, *parameters, file="afregning.duckdb"):
    """The rows of one SELECT on the published marts, by a connection of the test's own."""
    with duckdb.connect(":memory:") as con:
        con.execute(f"ATTACH '{home / 'published' / file}' AS p (READ_ONLY)")
        con.execute("USE p")
        return con.execute(sql, list(parameters)).fetchall()


def ask_one(home, sql, *parameters, file="afregning.duckdb"):
    """The first column of the first row."""
    return ask(home, sql, *parameters, file=file)[0][0]
