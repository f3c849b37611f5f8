"""What `explain` and `preview` print, as renderables that fit into 100 columns."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import batched

