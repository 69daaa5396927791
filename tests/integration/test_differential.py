# SPDX-License-Identifier: MIT
"""Odd dialogues, said to Tidegate and to Postfix: each difference has its reason. One round; `tests/differential/` has the rest."""
import pathlib
import sys

from lab import ground

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "differential"))


def test_each_difference_from_postfix_has_a_reason():
    import dialogues
    import differential
    one_round = len(dialogues.features())
    differential.run(ground.amount("DIALOGUES", one_round, one_round), seed=1, quiet=True)
