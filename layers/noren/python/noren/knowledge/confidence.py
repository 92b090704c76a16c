"""How sure a finding is: whether a site tells what was asked, by how much of the question its best passage holds.

Fitted on halves of JaQuAD and SQuAD 2.0, cut to sites of 20 to 1,400 passages; questions about what had been taken out
were those that are not answered (`docs/retrieval.md` has the figures on the other halves).
"""

from __future__ import annotations

import math

CONSTANT, PER_LOG_SHARE, PER_LOG_CHUNK = 4.22, 4.24, -0.556
LARGEST_SITE = 1_400
"""Chunks: beyond what was measured, a site counts as this large."""
ANSWERED = 0.25
"""Less than this is not taken for an answer. It is low since a visitor who gets no answer that is there loses more than
one who reads a passage that does not help: a model still sees whether the passages tell."""


def confidence(near: float, present: float, chunks: int) -> float:
    """Probability that the best passages answer.

    `near` and `present` are the shares of the question's weight that stand close together in the first of them, and
    that it has anywhere; `chunks` is the size of the site: the larger, the more of a question is found by chance.
    """
    share = math.log(0.05 + near + present)
    size = math.log(min(max(chunks, 1), LARGEST_SITE))
    return 1 / (1 + math.exp(-(CONSTANT + PER_LOG_SHARE * share + PER_LOG_CHUNK * size)))
