"""What a finished run's residual does, and what that was worth: the figures of notebooks and of `analyze`.

study = Study("runs/walker2d-medium-replay-v0/version_0")
print(study.summary())
draw(study, "q_gain")
"""

from spar_lightning.analysis.drawing import Drawn, draw, figure_names
from spar_lightning.analysis.run import FinishedRun
from spar_lightning.analysis.study import LeftOutError, Study

__all__ = ["Drawn", "FinishedRun", "LeftOutError", "Study", "draw", "figure_names"]
