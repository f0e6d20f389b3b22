"""From projections to a volume: filtered back-projection, MLEM and OSEM.

In: ``Projections`` and the physics to believe in. Out: a ``Volume`` in counts. Empty so far: until then
projections are read and described, and the analysis says that it cannot go on from them.
"""
