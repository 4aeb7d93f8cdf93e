"""Charts and questions about them. Train and validation pictures come from our own renderer (`draw.py`); held-out pictures
come from Matplotlib (`heldout.py`), which is imported only when a held-out example is drawn.
"""

from functools import partial

import numpy as np

from omnie.data import augment
from omnie.data.charts import draw, examples, styles
from omnie.data.charts.spec import Chart
from omnie.data.example import Generator, Split


def picture(rng: np.random.Generator, split: Split, chart: Chart) -> tuple[np.ndarray, dict[str, str]]:
    """A chart drawn in a style of the split: pixels uint8 [height, width, 3] and the families it drew on."""
    if split == "heldout":
        from omnie.data.charts import heldout

        return heldout.picture(rng, chart)
    style = styles.draw_style(rng, split, chart)
    pixels = draw.render(chart, style).pixels
    worn = rng.random() < 0.15
    return augment.degrade(rng, pixels, 0.4 * rng.random()) if worn else pixels, style.names


GENERATORS: dict[str, Generator] = {
    f"charts.{name}": partial(examples.example, f"charts.{name}", picture) for name in examples.MAKERS
}
