"""Training: the only room that knows Lightning's loops."""

from spar_lightning.telling import hide_what_is_no_news
from spar_lightning.training.combining import combine
from spar_lightning.training.finding import find_module, load_trained
from spar_lightning.training.module import AlgorithmModule
from spar_lightning.training.modules import (
    ALGORITHMS,
    BCModule,
    IQLModule,
    MeanModule,
    ReBRACModule,
    SPARModule,
    TD3BCModule,
)

__all__ = [
    "ALGORITHMS",
    "AlgorithmModule",
    "BCModule",
    "IQLModule",
    "MeanModule",
    "ReBRACModule",
    "SPARModule",
    "TD3BCModule",
    "combine",
    "find_module",
    "load_trained",
]

hide_what_is_no_news()
