"""autoresearch's results.tsv, as an importer."""

from typing import Final

from node.exchange.importers import HistoryReader, Importer
from node.store.foreign_tables import read_table

IMPORTER: Final = Importer(
    history=HistoryReader(
        summary="""Take in autoresearch's results.tsv, or a folder with one and its git branch.

        Its header says which column is what. The metric is `val_bpb`, else the first column of
        numbers; which way is better, unless it is bits per byte, a loss or an error, follows from
        what was kept. What does not read as an experiment is kept as text and counted.""",
        read=read_table,
        hint="a header names its columns, with tabs between: commit, the metric, memory_gb, status,"
        " description",
        files=(("results.tsv",),),
        has_commits=True,
    )
)
