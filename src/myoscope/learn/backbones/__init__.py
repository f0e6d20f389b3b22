"""Small networks over polar maps and covariates, one design per file.

Each takes maps (batch, channel, ring, angle) and covariates (batch, covariate), NaN where something is missing, and
answers with logits (batch, target). Each has ``features`` (the last maps before the head), ``head`` (from these and the
covariates to logits) and ``embedding`` (what the head's last layer sees), which explanations and audits use, and
``fit_scales``. All need torch; import the module you want.
"""
