"""Execute notebooks in place, with the outputs that are committed: `make notebooks`, or those that you name.

One clean run each, from top to bottom with the parameters' defaults; of a progress bar only the last state is kept, and
of a widget nothing: without its kernel it would be an error message.
"""

import re
import sys
from pathlib import Path

import nbclient
import nbformat
from traitlets.config import Config

WIDGET = "application/vnd.jupyter.widget-view+json"
NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def last_states(text: str) -> str:
    """What a terminal would show: of each line, what follows its last carriage return."""
    lines = []
    for line in re.split(r"(?<=\n)", text):
        states = [state for state in line.rstrip("\n").split("\r") if state.strip()]
        lines.append((states[-1] if states else "") + ("\n" if line.endswith("\n") else ""))
    return "".join(lines)


def execute(path: Path) -> None:
    """Run one notebook and write it back only when every cell has passed."""
    notebook = nbformat.read(path, 4)
    kernel, language = dict(notebook.metadata["kernelspec"]), {"name": "python"}
    client = nbclient.NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        store_widget_state=False,
        coalesce_streams=True,
        config=Config(KernelManager={"transport_encryption": "auto"}),  # each kernel warns otherwise
    )
    client.execute()
    notebook.metadata = {"kernelspec": kernel, "language_info": language}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = last_states(output.text)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    chosen = [Path(name).resolve() for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    for notebook_path in chosen:
        print(notebook_path.name, flush=True)
        execute(notebook_path)
