"""What is scanned of all tasks in so many directions, where tasks come and go."""

import torch
from torch import Tensor

from masked_network.evidence_scan import ScanRows, scan_terms


class ScanRoom:
    """Room for rows that are written by place; it grows by doubling and never shrinks."""

    def __init__(self, directions: int) -> None:
        self.directions = directions
        self._room = ScanRows(
            directions,
            torch.empty(0, scan_terms(directions), dtype=torch.int8),
            torch.empty(0),
            torch.empty(0),
        )

    def rows(self, count: int) -> ScanRows:
        """The first so many."""
        return self._room.part(0, count)

    def some(self, places: Tensor) -> ScanRows:
        """Those of these places, copied."""
        room = self._room
        levels, scales, biases = room.levels[places], room.scales[places], room.biases[places]
        return ScanRows(self.directions, levels, scales, biases)

    def write(self, places: Tensor, rows: ScanRows) -> None:
        """Put rows into these places, of which there is one or more."""
        room, end = self._room, int(places.max()) + 1
        if end > len(room):
            more = max(end, 2 * len(room)) - len(room)
            self._room = room = ScanRows(
                self.directions,
                torch.cat([room.levels, room.levels.new_zeros(more, room.levels.shape[1])]),
                torch.cat([room.scales, room.scales.new_zeros(more)]),
                torch.cat([room.biases, room.biases.new_zeros(more)]),
            )
        room.levels[places] = rows.levels
        room.scales[places] = rows.scales
        room.biases[places] = rows.biases
