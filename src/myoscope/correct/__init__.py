"""What the physics did to the counts, undone: attenuation, scatter, motion, decay, partial volume.

In: ``Projections`` or a ``Volume``, and what the correction needs, such as a mu map. Out: the same, corrected,
with the step named in ``made_by``. Empty so far: images are analysed as the camera's software left them.
"""
