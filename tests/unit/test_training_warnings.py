"""What a training warns of: each leak by name, and a model left behind in one sentence."""

from training.probes import Finding
from training.train import _warnings


def _ahead(name: str, value: float) -> Finding:
    return Finding(name, "likely", f"'{name}' alone ranks with AUC {value}", "over_model", value=value)


def test_many_fields_that_outdo_the_model_are_one_warning_that_names_the_best() -> None:
    leak = Finding("close_value", "likely", "it decides", "deciding_value", value=30.0)
    told = _warnings([leak, _ahead("month", 0.6), _ahead("rate", 0.74), _ahead("age", 0.55)], {})
    assert told[0] == "it decides"
    assert len(told) == 2
    assert told[1].startswith("3 fields alone rank the later rows better than the whole model, rate best")
    assert "AUC 0.74" in told[1]


def test_few_fields_that_outdo_the_model_are_named_each() -> None:
    told = _warnings([_ahead("month", 0.6), _ahead("rate", 0.74)], {})
    assert told == ["'month' alone ranks with AUC 0.6", "'rate' alone ranks with AUC 0.74"]
