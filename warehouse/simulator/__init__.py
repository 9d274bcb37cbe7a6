"""A simulated CRM: several years of leads, deals, activities and money whose true probabilities are known.

`simulate` writes the canonical tables as a source would deliver them, and beside them, in another folder, the truths
(truth.py says what they condition on). All numbers of the world are in parameters.py.
"""

from warehouse.simulator.config import Scenario, SimulationConfig, Size
from warehouse.simulator.world import simulate

__all__ = ["Scenario", "SimulationConfig", "Size", "simulate"]
