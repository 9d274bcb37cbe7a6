"""The deal model: whether a deal will be won or lost, in which month, for how much, and what would help.

`outcomes` says how deals ended as known at a moment, `periods` turns snapshots into rows per month ahead, `hazards`
turns the two models' answers into probabilities that add up, `model` is the two of them as one `training.models.Model`,
`develop` makes it, `scorer` answers with it.
"""
