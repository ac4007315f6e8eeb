"""The claim of the method on one page: actions on a ring, a value that wants to leave it.

States are angles. The data's actions lie on an arc of a ring around that angle, with 3% noise; the reward is linear in
the action, along a direction that is no axis. The best action of the data is therefore a point of the ring, and the
critic's gradient points away from it. Four ways to improve on the same frozen base, with the same critic and manifold
but for the last, are compared by how far their actions end from the ring.

    python tests/ring_toy.py --figure ring.png
"""

from __future__ import annotations

import argparse
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn  # noqa: F401
from torch import Tensor

from spar_lightning.data import Episode, OfflineDataModule, OfflineDataset
from spar_lightning.data.sources import SOURCES, Source
from spar_lightning.modules import BCModule, SPARModule
from spar_lightning.networks import MLP

NAME = "ring"
RADIUS, NOISE, ARC = 0.7, 0.03, 0.8  # NOISE is relative to the radius, ARC a standard deviation in radians
DIRECTION = np.array([math.cos(math.radians(40)), math.sin(math.radians(40))], dtype=np.float32)
TRANSITIONS = 5_000
