"""The command `evaluate`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from late_interaction.cli.bits import bits_of
from late_interaction.cli.options import AsJson, Quiet
from late_interaction.cli.output import console, is_watched, show, show_json
from late_interaction.cli.printable import printable
from late_interaction.encoders.minilm_package import MINILM

if TYPE_CHECKING:
    from late_interaction.evaluation import Report

__all__ = ["evaluate"]

_WIDTH = 120  # characters, where the output is not a terminal


def evaluate(
    source: Annotated[
        str,
        typer.Argument(
            help="Directory or address of an index, a folder of BEIR or ViDoRe, documents as .jsonl or .jsonl.gz, or a "
            "folder of files.",
            metavar="SOURCE",
        ),
    ],
    queries: Annotated[
        Path | None,
        typer.Option(help="The queries: JSON lines, or lines of an id, a tab and the text.", metavar="FILE"),
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="The judgments, in the format of TREC or BEIR.", metavar="FILE")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which judgments of a folder. [default: test]", metavar="NAME")
    ] = None,
    synthetic: Annotated[  # noqa: FBT002
        bool, typer.Option("--synthetic", help="Make the queries from the documents.")
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(help=f"Name or path of the encoder. [default: that of the index; {MINILM} for documents]"),
    ] = None,
    systems: Annotated[
        str | None,
        typer.Option(
            help="What to compare, separated by commas: late, lexical, hybrid, pooled. [default: late,lexical,hybrid]",
            metavar="NAMES",
        ),
    ] = None,
    single_vector: Annotated[
        list[str] | None,
        typer.Option(help="Also compare this sentence-transformers model with one vector per text.", metavar="MODEL"),
    ] = None,
    sparse: Annotated[
        list[str] | None,
        typer.Option(help="Also compare this sentence-transformers SparseEncoder.", metavar="MODEL"),
    ] = None,
    cross_encoder: Annotated[
        str | None, typer.Option(help="Also compare this sentence-transformers CrossEncoder.", metavar="MODEL")
    ] = None,
    stages: Annotated[
        list[str] | None,
        typer.Option(help="Also compare a cascade, such as lexical:200,late:20,cross-encoder:10.", metavar="STAGES"),
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option(help="Also compare these bits, such as 1,2,4,none; codes and none as in index.", metavar="BITS"),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="Also compare these pooling factors, such as 1,2,3.", metavar="NUMBERS")
    ] = None,
    dim: Annotated[
        str | None, typer.Option(help="Also compare these dimensions, such as 64,128.", metavar="NUMBERS")
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option("--run", help="Also compare the run in a file of TREC.", metavar="NAME=FILE"),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="What the others are compared with. [default: the single-vector model, or lexical]", metavar="NAME"
        ),
    ] = None,
    loss: Annotated[
        float, typer.Option(help="How much nDCG@10 a cheaper system may lose, in the advice.", min=0, max=1)
    ] = 0.01,
    plot: Annotated[
        Path | None, typer.Option(help="Save plots of quality against size and time.", metavar="FILE.svg|FILE.png")
    ] = None,
    save_runs: Annotated[
        Path | None,
        typer.Option(help="Write what each system found into this folder, as runs of TREC.", metavar="DIR"),
    ] = None,
    quiet: Quiet = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Compare ways to search your documents: quality, bytes per document, and milliseconds per query.

    Example: late-interaction evaluate my-docs --synthetic --bits 1,2,4 --plot quality.svg

    Example: late-interaction evaluate my-docs --queries queries.jsonl --single-vector all-MiniLM-L6-v2

    A line of QUERIES is {"query": ..., "relevant": ["id", ...]}, or {"query": ..., "id": ...} with --qrels. Ends with
    advice: the cheapest system that loses at most --loss, and whether late interaction is better than single vectors
    and than lexical search. No index is changed.
    """
    from late_interaction.cli.collections import Asked, opened  # other commands do not need the evaluation
    from late_interaction.evaluation import evaluate as evaluate_systems
    from late_interaction.evaluation.reporting.plots import check_path

    if synthetic and (queries or qrels or split):
        raise typer.BadParameter("cannot be combined with --queries, --qrels and --split.", param_hint="--synthetic")
    if plot is not None:
        check_path(plot)
    if save_runs is not None:
        save_runs.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {
        "single_vector": single_vector or (),
        "sparse": sparse or (),
        "bits": _bits(bits),
        "pooling": _numbers(pooling, "--pooling"),
        "dim": _numbers(dim, "--dim"),
        "baseline": baseline,
        "loss": loss,
    }
    if systems is not None:
        options["systems"] = [name.strip() for name in systems.split(",")]
    if cross_encoder is not None:
        options["cross_encoder"] = cross_encoder
    if stages:
        options["stages"] = stages
    if runs:
        options["runs"] = _runs(runs)
    asked = Asked(queries, qrels, split, synthetic)
    with opened(source, encoder, asked, needs_vectors=_needs_vectors(options)) as collection:
        dataset = replace(collection.dataset, notes=(*collection.dataset.notes, *collection.notes))
        progress = is_watched() and not quiet
        report = evaluate_systems(
            collection.searched, dataset, encoder=collection.encoder, progress=progress, **options
        )
    if as_json:  # before files, which may fail
        show_json(report.to_dict())
    else:
        _show(report)
    if plot is not None:
        report.plot(plot)
    if save_runs is not None:
        _save_runs(report, save_runs)


def _needs_vectors(options: dict[str, Any]) -> bool:
    """Return whether token vectors are searched, in an evaluation with these options."""
    stages = " ".join(options.get("stages", ()))
    return options.get("systems") != ["lexical"] or "late" in stages or "hybrid" in stages


def _bits(given: str | None) -> list[int | None]:
    """Return bits that are separated by commas; ``float16``, as reports call it, is another word for ``none``."""
    parts = [] if given is None else given.split(",")
    return [None if part.strip() == "float16" else bits_of(part.strip()) for part in parts]


def _numbers(given: str | None, option: str) -> list[int]:
    """Return numbers that are separated by commas."""
    numbers: list[int] = []
    for part in (given or "").split(",") if given is not None else ():
        text = part.strip()
        if text.isascii() and text.isdecimal() and len(text) < 10:
            numbers.append(int(text))
        else:
            raise typer.BadParameter(f"must be numbers separated by commas, got {given!r}.", param_hint=option)
    return numbers


def _runs(given: list[str]) -> dict[str, dict[str, list[str]]]:
    """Read runs, by name."""
    from late_interaction.evaluation import read_run

    runs: dict[str, dict[str, list[str]]] = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not (name and equals and path):
            raise typer.BadParameter(f"is written as NAME=FILE, got {one!r}.", param_hint="--run")
        if name in runs:
            raise typer.BadParameter(f"has the name {name!r} twice.", param_hint="--run")
        runs[name] = read_run(path)
    return runs


def _save_runs(report: Report, folder: Path) -> None:
    """Write a run of each system. Its file has the name of the system, with hyphens instead of other characters."""
    from late_interaction.evaluation import write_run

    names: list[str] = []
    for system in report.systems:
        name = re.sub(r"[^\w.+-]+", "-", system.name)
        name += f"-{len(names) + 1}" if name in names else ""  # the number of the system
        names.append(name)
        write_run(folder / f"{name}.txt", system.result.rankings, name=name)


def _show(report: Report) -> None:
    """Print the tables, the notes and the advice."""
    show(report.title)
    show("")
    for line in report.table(console.width if console.is_terminal else _WIDTH).splitlines():
        console.print(Text(printable(line)), soft_wrap=True)
    for heading, sentences in (("Notes", report.notes), ("Advice", report.advice)):
        if sentences:
            show("")
            console.print(Text(heading, "bold"))
            for sentence in sentences:
                show(sentence)
