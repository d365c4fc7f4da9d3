"""Training of acoustic models: `train` for examples in hand, `run_recipe` for corpora in folders.

Importing it brings torch in.
"""

from ser.training.progress import TrainProgress
from ser.training.recipe import RecipeResult, run_recipe
from ser.training.run import TrainedModel, train

__all__ = ["RecipeResult", "TrainProgress", "TrainedModel", "run_recipe", "train"]
