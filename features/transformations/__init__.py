"""The feature maths: one module per view, each a pure Ibis function (spine, tables) -> spine + feature columns.

Only portable Ibis is used (joins, filters, group_by, row windows, union), so that the same definitions run on DuckDB
and on Spark. A row of the warehouse counts at `as_of` only if it had happened by then and could be known by then.
"""
