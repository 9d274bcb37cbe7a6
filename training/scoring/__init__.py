"""Scoring models of one's own: points by rules, or a chosen subset of features for the trained kinds (docs/adr/0018).

`conditions` what a rule may ask, `scoring_file` the YAML file, `scorecard` the model made of it, `develop` its
training, `rule_score` the plain rule score that every lead model is shown beside.
"""
