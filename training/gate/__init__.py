"""The gate: what a challenger has to show before it takes the champion's place (docs/adr/0017).

`holdout` the newest rows, `paired` both models' figures on them, `latency` how fast each answers, `judging` the checks
and the verdict. What a verdict does to the registry and the log is `training.promotion`'s.
"""
