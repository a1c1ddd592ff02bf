"""Draw the sample pictures again: `python -m scripts.draw_samples`."""

from scripts.draw_samples.scenes import write_all

for file in write_all():
    print(f"{file.name}  {file.stat().st_size / 1024:.0f} KiB")
