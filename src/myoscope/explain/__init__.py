"""Why a model said what it said: attribution, Shapley values, individual conditional expectation, and their checks.

In: any callable and the input it was given. Out: an ``Explanation`` of that input's shape, with how far it adds
up to the prediction. Empty so far: no shipped model predicts a diagnosis yet.
"""
