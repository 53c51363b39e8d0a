"""The command line says once that texts were truncated, without a line of code."""

from __future__ import annotations

from typer.testing import CliRunner

from late_interaction.cli import app


def test_indexing_and_info(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("x" * 90 + " y" * 600)
    runner, index = CliRunner(), str(tmp_path / "index")
    done = runner.invoke(app, ["index", str(tmp_path / "files"), "--index", index])
    assert done.exit_code == 0
    said = " ".join(done.stderr.split())
    assert said.count("longer than the encoder reads (256 tokens)") == 1
    assert "Warning: " in said
    assert ".py" not in said
    assert "a greater document_length (of a new index: --document-length), if" in said
    assert "truncate=" not in said
    assert "truncated documents" in runner.invoke(app, ["info", index]).stdout
